"""Runs the SQL of a Markdown file in one psql session and compares, or updates, the output that it shows.

    examples.py FILE [--update] DATABASE

A ```sql block prints what the ```text block right after it says, or nothing where there is none. Nothing is
normalised but blanks at the ends of lines.
"""
import re
import subprocess
import sys

EXAMPLE = re.compile(r"^```sql\n(?P<sql>.*?)^```\n(?P<shown>\n?^```text\n(?P<output>.*?)^```\n)?", re.DOTALL | re.MULTILINE)
MARK = "-- end of example --"


def run(examples, database):
    """What each of the examples prints."""
    script = "".join(f"{example['sql']}\n\\echo '{MARK}'\n" for example in examples)
    # line by line, so that errors stand where they occur
    psql = ["stdbuf", "-oL", "psql", "-X", "-q", "-d", database]
    done = subprocess.run(psql, input=script, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    outputs = done.stdout.split(MARK + "\n")[:-1]
    if len(outputs) != len(examples):
        sys.exit(f"psql ended early:\n{done.stdout}")
    return [tidy(output) for output in outputs]


def tidy(text):
    """Without blanks at the ends of lines and empty lines at the end."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


def update(path, text, examples, outputs):
    """Writes what the examples print into the file."""
    for example, output in reversed(list(zip(examples, outputs))):
        shown = f"\n```text\n{output}\n```\n" if output else ""
        text = f"{text[:example.start()]}```sql\n{example['sql']}```\n{shown}{text[example.end():]}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    path, mode, database = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    examples = list(EXAMPLE.finditer(text))
    if not examples:
        sys.exit(f"no examples in {path}")
    outputs = run(examples, database)
    if mode == "--update":
        update(path, text, examples, outputs)
        return
    failed = 0
    for example, output in zip(examples, outputs):
        expected = tidy(example["output"] or "")
        if output != expected:
            failed += 1
            line = text.count("\n", 0, example.start()) + 1
            print(f"FAILED  the example at line {line}:\n{example['sql']}\n-- shows\n{expected}\n-- but prints\n{output}\n")
    print(f"{len(examples) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
