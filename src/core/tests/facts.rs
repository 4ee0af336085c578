//! Facts: which values are of use.

use sessionize_core::facts::{FACT_RULES, LONGEST_FACT, is_usable};

fn usable(fact: &str, value: &str) -> bool {
    is_usable(FACT_RULES.iter().position(|(name, _)| *name == fact).expect("a fact that there is"), value)
}

#[test]
fn addresses_are_those_that_inet_reads() {
    for address in [
        "10.0.0.1",
        "10.0.0.1/0",
        "10.0.0.0/24",
        "10.0.0.1/32",
        "2001:db8::1",
        "::/0",
        "2001:db8::1/128",
        "::ffff:10.0.0.1/96",
    ] {
        assert!(usable("ip", address), "{address}");
    }
    for other in [
        "",
        "/",
        "nowhere",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.01",
        "10.0.0.1/",
        "10.0.0.1/33",
        "10.0.0.1/99",
        "10.0.0.1/+5",
        "10.0.0.1/024",
        "10.0.0.1/00",
        "10.0.0.1/-1",
        "10.0.0.1/8/8",
        "10.0.0.1 /8",
        "10.0.0.1/8 ",
        "2001:db8::1/129",
        "::1%eth0",
        "/8",
        "10.0.0.1/256",
    ] {
        assert!(!usable("ip", other), "{other}");
    }
}

#[test]
fn numbers_and_texts_are_of_use_where_they_can_be_stored() {
    assert!(
        usable("cart_items", "-3")
            && usable("cart_value", "12.50")
            && usable("country", "CZ")
            && usable("currency", " ")
    );
    assert!(!usable("cart_items", "3000000000") && !usable("cart_items", "") && !usable("customer", ""));
    assert!(!usable("cart_value", "NaN") && !usable("cart_value", "Infinity") && !usable("cart_value", ""));
    assert!(usable("country", &"x".repeat(LONGEST_FACT)) && !usable("country", &"x".repeat(LONGEST_FACT + 1)));
}
