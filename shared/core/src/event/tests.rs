use proptest::prelude::*;

use super::*;
use crate::Limits;

fn read(text: &str) -> Result<Event, Error> {
    Event::from_json(text, &Limits::DEFAULT)
}

const MINIMAL: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;

#[test]
fn the_data_stays_as_the_sender_wrote_it() {
    let text = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":{ "a" : 1.50, "b":"\u00e9" }}"#;
    let event = read(text).unwrap();
    assert!(matches!(event.data(), Some(Data::Json(raw)) if raw.get() == r#"{ "a" : 1.50, "b":"\u00e9" }"#));
    assert_eq!(event.to_json(), text);
}

#[test]
fn extensions_of_every_type_are_kept() {
    let text = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","flag":true,"hops":-3,"partitionkey":"k"}"#;
    assert_eq!(read(text).unwrap().to_json(), text);
}

#[test]
fn null_says_that_an_attribute_is_absent() {
    let text = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":null}"#;
    assert_eq!(read(text).unwrap().subject(), None);
}

#[test]
fn each_fault_has_its_code_and_pointer() {
    let faults = [
        ("", "malformed_json", ""),
        ("{", "malformed_json", ""),
        ("[]", "not_an_event", ""),
        (r#"{"id":"1","source":"s","type":"t"}"#, "missing_attribute", "/specversion"),
        (r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, "unsupported_specversion", "/specversion"),
        (r#"{"specversion":"1.0","source":"s","type":"t"}"#, "missing_attribute", "/id"),
        (r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#, "invalid_attribute", "/id"),
        (r#"{"specversion":"1.0","id":7,"source":"s","type":"t"}"#, "invalid_attribute", "/id"),
        (r#"{"specversion":"1.0","id":"1","id":"2","source":"s","type":"t"}"#, "duplicate_attribute", "/id"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"yesterday"}"#, "invalid_attribute", "/time"),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","partitionkey":"a\u0000b"}"#,
            "invalid_attribute",
            "/partitionkey",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","partitionkey":7}"#,
            "invalid_attribute",
            "/partitionkey",
        ),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","Bad":"x"}"#, "invalid_attribute", "/Bad"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","x":{}}"#, "invalid_attribute", "/x"),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"?"}"#, "invalid_data", "/data_base64"),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}"#,
            "invalid_data",
            "/data",
        ),
    ];
    for (text, code, pointer) in faults {
        let error = read(text).expect_err(text);
        assert_eq!((error.code(), error.pointer().as_str()), (code, pointer), "{text}: {error}");
    }
}

#[test]
fn bounds_hold_at_the_bound_and_break_one_past_it() {
    let with_id = |n: usize| format!(r#"{{"specversion":"1.0","id":"{}","source":"s","type":"t"}}"#, "x".repeat(n));
    assert!(read(&with_id(256)).is_ok());
    assert_eq!(read(&with_id(257)).unwrap_err().code(), "invalid_attribute");
    let nested = |n: usize| {
        let data = format!("{}{}", "[".repeat(n), "]".repeat(n));
        format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{data}}}"#)
    };
    assert!(read(&nested(63)).is_ok());
    assert_eq!(read(&nested(64)).unwrap_err().code(), "too_deep");
    assert_eq!(read(&nested(10_000)).unwrap_err().code(), "too_deep");
    assert_eq!(read(&with_id(300_000)).unwrap_err().code(), "event_too_large");
}

#[test]
fn binary_data_travels_as_base64() {
    let event = Event::builder()
        .attribute("specversion", "1.0")
        .attribute("id", "1")
        .attribute("source", "s")
        .attribute("type", "t")
        .attribute("datacontenttype", "image/png")
        .bytes([0xF3, 0x89, 0x9A, 0xC2])
        .build(&Limits::DEFAULT)
        .unwrap();
    let again = read(&event.to_json()).unwrap();
    assert!(matches!(again.data(), Some(Data::Binary(bytes)) if bytes == &[0xF3, 0x89, 0x9A, 0xC2]));
    assert!(matches!(again.data_as::<u8>(), Err(DataError::NotJson(_))));
    assert!(matches!(read(MINIMAL).unwrap().data_as::<u8>(), Err(DataError::Missing)));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = read(&text);
    }

    #[test]
    fn an_event_reads_back_as_itself(id in "[^\\p{Cc}\\p{Noncharacter_Code_Point}]{1,20}", key in "[^\\p{Cc}\\p{Noncharacter_Code_Point}]{1,20}", n in any::<i32>(), data in any::<Option<Vec<u8>>>()) {
        let mut builder = Event::builder()
            .attribute("specversion", "1.0").attribute("id", id).attribute("source", "s").attribute("type", "t")
            .attribute("partitionkey", key).value("n", ExtensionValue::Integer(n));
        if let Some(data) = data {
            builder = builder.bytes(data);
        }
        let event = builder.build(&Limits::DEFAULT).unwrap();
        let text = event.to_json();
        prop_assert_eq!(read(&text).unwrap().to_json(), text);
    }
}
