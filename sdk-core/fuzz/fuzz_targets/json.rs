//! The JSON scanner against serde_json: it accepts what that accepts, and finds the same members.
#![no_main]

use libfuzzer_sys::fuzz_target;
use picobase::Json;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let ours = Json::parse(data.to_vec());
    let theirs = serde_json::from_slice::<Value>(data);
    if let Ok(value) = &theirs {
        let Ok(json) = &ours else { panic!("serde_json accepts it, the scanner does not") };
        if let Value::Object(members) = value {
            for (name, member) in members {
                let found = json.get(name).expect("a member");
                assert_eq!(&serde_json::from_str::<Value>(found.as_text()).expect("JSON"), member);
                assert_eq!(found.as_str().as_deref(), member.as_str());
                assert_eq!(found.as_bool(), member.as_bool());
                if let Some(number) = member.as_i64() {
                    assert_eq!(found.as_i64(), Some(number));
                }
            }
        }
        if let Value::Array(items) = value {
            assert_eq!(json.items().len(), items.len());
        }
    }
    // What the scanner accepts beyond serde_json (escapes are the decoder's business) must still be safe to look at.
    if let Ok(json) = ours {
        let _ = (json.members(), json.items(), json.as_str(), json.as_i64(), json.as_bool());
    }
});
