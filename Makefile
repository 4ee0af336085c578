# The commands of this project. The work is done by the scripts in pgrx-config/ and tests/.
#
# Settings, all optional:
#   PG_MAJOR=16          another PostgreSQL major version (15 to 18)
#   PG_CONFIG=/path      the pg_config of a PostgreSQL of your own
#   EVENTS=file.csv[.gz] your own events for the demo; VISITOR=, INSTANT= and KIND= name its columns
#   SUITES="regress …"   only these test suites

PG_MAJOR ?=
PG_CONFIG ?=
EVENTS ?=
VISITOR ?=
INSTANT ?=
KIND ?=
SUITES ?=
export PG_MAJOR PG_CONFIG EVENTS VISITOR INSTANT KIND

.PHONY: help setup build demo test bench install clean

help:
	@echo 'make demo       build, start a private PostgreSQL, turn events into sessions and show them'
	@echo '                EVENTS=file.csv[.gz] takes your own events: a header line, then visitor,'
	@echo '                instant and anything else (VISITOR=, INSTANT=, KIND= name other columns)'
	@echo 'make test       build and run every test (SUITES="regress ..." runs only these)'
	@echo 'make bench      build and measure against the alternatives'
	@echo 'make install    install the extension into your PostgreSQL (PG_CONFIG= chooses which)'
	@echo 'make clean      stop the private PostgreSQL clusters, remove everything that was built'
	@echo
	@echo 'All of them install what is missing, say what, and leave existing clusters alone.'
	@echo 'PG_MAJOR=16 chooses another PostgreSQL major version, 15 to 18.'

setup:
	@pgrx-config/setup.sh

build: setup
	@pgrx-config/build.sh

demo: build
	@pgrx-config/demo.sh

test:
	@pgrx-config/setup.sh test
	@pgrx-config/build.sh
	@tests/run.sh $(SUITES)

bench:
	@pgrx-config/setup.sh bench
	@pgrx-config/build.sh
	@pgrx-config/bench.sh

install:
	@pgrx-config/setup.sh install
	@pgrx-config/install.sh

clean:
	@pgrx-config/clean.sh
