//! Values as people read them: flags, countries, carts and how long ago something was.

use celes::Country;
use iso_currency::Currency;

use crate::instant::{DAY, HOUR, Instant, MINUTE, Micros};

const YEAR: Micros = 365 * DAY;

/// The flag of a two-letter country code: the code in regional indicator letters. None for what is no country.
pub fn flag(code: &str) -> Option<String> {
    let country = Country::from_alpha2(code.trim()).ok()?;
    let regional = |letter: char| char::from_u32('🇦' as u32 + (letter as u32 - 'A' as u32));
    country.alpha2.chars().map(regional).collect()
}

/// The two-letter code of a country that is given by code, flag or English name, in any case.
pub fn country_code(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let found = match text.len() {
        2 => Country::from_alpha2(text).ok(),
        3 => Country::from_alpha3(text).ok(),
        8 => code_of_flag(text).and_then(|code| Country::from_alpha2(code).ok()),
        _ => None,
    };
    let name: String =
        text.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).map(without_accent).collect();
    found.or_else(|| country_named(&name)).map(|country| country.alpha2)
}

/// What regional indicator letters spell.
fn code_of_flag(text: &str) -> Option<String> {
    let letter = |regional: char| char::from_u32((regional as u32).checked_sub('🇦' as u32 - 'A' as u32)?);
    let code: Option<String> = text.chars().map(letter).collect();
    code.filter(|code| code.bytes().all(|letter| letter.is_ascii_uppercase()))
}

/// The letters with accents that English names of countries have.
fn without_accent(letter: char) -> char {
    match letter {
        'å' | 'ã' => 'a',
        'ç' => 'c',
        'é' => 'e',
        'í' => 'i',
        'ô' => 'o',
        'ü' => 'u',
        other => other,
    }
}

/// Finds "thebahamas" and "bahamas" alike.
fn country_named(name: &str) -> Option<Country> {
    match name {
        "uk" => return Country::from_alpha2("GB").ok(),
        "uae" => return Country::from_alpha2("AE").ok(),
        _ if name.len() < 4 => return None, // abbreviations of the crate, such as "cq", are no names
        _ => (),
    }
    let known = |name: &str| Country::from_name(name).or_else(|_| Country::from_alias(name)).ok();
    known(name).or_else(|| known(&format!("the{name}"))).or_else(|| known(name.strip_prefix("the")?))
}

/// What a cart holds, as in `2 items · 3,124.75 USD`. The value is a decimal number as PostgreSQL writes it.
pub fn cart(items: Option<i32>, value: Option<&str>, currency: Option<&str>) -> Option<String> {
    let items = items.map(|count| format!("{} item{}", grouped(&count.to_string()), if count == 1 { "" } else { "s" }));
    let value = value.map(|value| money(value, currency));
    match (items, value) {
        (Some(items), Some(value)) => Some(format!("{items} · {value}")),
        (items, value) => items.or(value),
    }
}

/// An amount with the decimals of its currency. A currency that is not known keeps its name and the decimals given.
fn money(value: &str, currency: Option<&str>) -> String {
    let name = currency.map(str::trim).filter(|name| !name.is_empty());
    let known = name.and_then(|name| Currency::from_code(&name.to_uppercase()));
    let amount = match known.and_then(Currency::exponent) {
        Some(decimals) => grouped(&rounded(value, decimals.into())),
        None => grouped(value),
    };
    match known.map(|currency| currency.code()).or(name) {
        Some(name) => format!("{amount} {name}"),
        None => amount,
    }
}

/// A decimal number with exactly so many decimals, halves away from zero. Other text, such as `NaN`, stays as it is.
fn rounded(value: &str, decimals: usize) -> String {
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return value.to_owned();
    }
    let mut kept: Vec<u8> =
        whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(decimals)).collect();
    if fraction.as_bytes().get(decimals).is_some_and(|next| *next >= b'5') {
        increment(&mut kept);
    }
    let text: String = kept.into_iter().map(char::from).collect();
    let sign = if text.bytes().all(|digit| digit == b'0') { "" } else { sign };
    let (whole, fraction) = text.split_at(text.len() - decimals);
    if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Adds one to a number in decimal digits.
fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// A decimal number with commas between thousands.
fn grouped(number: &str) -> String {
    let whole = number.split('.').next().unwrap_or_default();
    let digits = whole.trim_start_matches('-').len();
    let sign = whole.len() - digits;
    if !whole[sign..].bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut text = number[..sign].to_owned();
    for (place, digit) in whole[sign..].chars().enumerate() {
        if place > 0 && (digits - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + &number[whole.len()..]
}

/// How long before `now` something was, in its largest unit: `33m ago`, `21h ago`, `3d ago`; `in 5m` for what is to come.
pub fn time_ago(instant: Instant, now: Instant) -> String {
    let distance = i128::from(now) - i128::from(instant);
    let units = [(YEAR, 'y'), (DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')];
    let whole = |(unit, name): (Micros, char)| (distance.abs() / i128::from(unit), name);
    match units.into_iter().map(whole).find(|(count, _)| *count > 0) {
        None => "just now".to_owned(),
        Some((count, unit)) if distance > 0 => format!("{count}{unit} ago"),
        Some((count, unit)) => format!("in {count}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_made_of_country_codes() {
        assert_eq!(flag("CZ").as_deref(), Some("🇨🇿"));
        assert_eq!(flag("us").as_deref(), Some("🇺🇸"));
        for unknown in ["", "XX", "C", "CZE", "Č!", "🇨🇿"] {
            assert_eq!(flag(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn countries_are_found_by_code_and_by_english_name() {
        let known = [
            ("cz", "CZ"),
            ("CZE", "CZ"),
            ("Czechia", "CZ"),
            ("czech republic", "CZ"),
            ("United States", "US"),
            ("the united kingdom", "GB"),
            ("Great Britain", "GB"),
            ("Germany", "DE"),
            ("Vietnam", "VN"),
            ("Bahamas", "BS"),
            ("South Korea", "KR"),
            ("Netherlands", "NL"),
            ("Cote d'Ivoire", "CI"),
            ("Curaçao", "CW"),
            ("Russia", "RU"),
            ("Samoa", "WS"),
            ("UK", "GB"),
            ("UAE", "AE"),
            ("🇨🇿", "CZ"),
        ];
        for (text, code) in known {
            assert_eq!(country_code(text), Some(code), "{text}");
        }
        for unknown in ["", " ", "XX", "Atlantis", "%", "the", "200", "🇽🇽", "🇨", "🛒🛒"] {
            assert_eq!(country_code(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn carts_count_items_and_group_thousands() {
        assert_eq!(cart(Some(2), Some("3124.75"), Some("USD")).unwrap(), "2 items · 3,124.75 USD");
        assert_eq!(cart(Some(1), Some("49.950"), Some("usd")).unwrap(), "1 item · 49.95 USD");
        assert_eq!(cart(Some(0), Some("0"), Some("EUR")).unwrap(), "0 items · 0.00 EUR");
        assert_eq!(cart(Some(1234), None, None).unwrap(), "1,234 items");
        assert_eq!(cart(None, Some("7.5"), None).unwrap(), "7.5");
        assert_eq!(cart(None, None, Some("USD")), None);
    }

    #[test]
    fn each_currency_has_its_own_decimals() {
        assert_eq!(money("1234567.5", Some("JPY")), "1,234,568 JPY");
        assert_eq!(money("1.0005", Some("KWD")), "1.001 KWD");
        assert_eq!(money("12.345", Some("ABCD")), "12.345 ABCD");
        assert_eq!(money("999.995", Some("USD")), "1,000.00 USD");
        assert_eq!(money("-1234.5", Some("USD")), "-1,234.50 USD");
        assert_eq!(money("-0.001", Some("USD")), "0.00 USD");
        assert_eq!(money("NaN", Some("USD")), "NaN USD");
        assert_eq!(money("5", Some("XAU")), "5 XAU");
        assert_eq!(money(&"9".repeat(60), Some("JPY")).len(), 60 + 19 + 4);
    }

    #[test]
    fn distances_in_time_have_one_unit() {
        let now = 0;
        for (distance, text) in [
            (0, "just now"),
            (MINUTE - 1, "just now"),
            (MINUTE, "1m ago"),
            (33 * MINUTE, "33m ago"),
            (21 * HOUR, "21h ago"),
            (DAY - 1, "23h ago"),
            (3 * DAY, "3d ago"),
            (10 * DAY, "10d ago"),
            (364 * DAY, "364d ago"),
            (YEAR, "1y ago"),
            (-30, "just now"),
            (-5 * MINUTE, "in 5m"),
            (-DAY, "in 1d"),
        ] {
            assert_eq!(time_ago(now - distance, now), text);
        }
        assert_eq!(time_ago(Instant::MIN, Instant::MAX), "584942y ago");
    }
}
