//! `/api/v1`: what the page shows, for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use appliance::disk::Disk;
use serde::Serialize;

use super::links::Links;
use super::reply;
use super::view::{Listed, STATES, state_name};
use crate::catalog::{Content, State};
use crate::net::http::Response;

/// `/api/v1/openapi.json`: what is answered here, for programs that make programs.
pub(super) const OPENAPI: &str = include_str!("../../templates/openapi.json");

/// An element of `/api/v1/items`. Its fields are a promise to other programs.
#[derive(Debug, Serialize)]
pub(super) struct ApiItem {
    name: String,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    size_bytes: u64,
    file_count: usize,
    state: State,
    progress: f64,
    /// Bytes read, while it is copied or hashed; how many a second of late, and in how many seconds it is done.
    progress_bytes: Option<u64>,
    rate_bytes: Option<u64>,
    seconds_left: Option<u64>,
    error: Option<String>,
    /// Names that make trouble on other systems.
    warnings: Vec<String>,
    /// Bytes that the disk does not give back as they were hashed, and that are not served.
    damaged_bytes: u64,
    torrent_url: Option<String>,
    /// The torrent of version 2.
    torrent_url_v2: Option<String>,
    magnet: Option<String>,
    seeders: u32,
    leechers: u32,
    completed: u64,
    uploaded_bytes: u64,
    added: String,
}

/// `/api/v1/status`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    /// Whether there are no problems.
    healthy: bool,
    problems: Vec<String>,
    /// The box's disks, as they tell of themselves.
    disks: Vec<Disk>,
    /// Number of items in each state.
    items: BTreeMap<&'static str, usize>,
    seeders: u64,
    leechers: u64,
    completed: u64,
    uploaded_bytes: u64,
}

/// All items, newest first.
pub(super) fn items(listed: &[Listed], links: &Links) -> Vec<ApiItem> {
    listed.iter().map(|listed| ApiItem::new(listed, links)).collect()
}

impl ApiItem {
    fn new(listed: &Listed, links: &Links) -> Self {
        let item = &listed.item;
        let seeding = listed.seeding();
        let hash = |of: fn(&Content) -> Option<String>| item.content.as_deref().and_then(of);
        let reading = listed.is_being_read().then_some(&item.progress);
        Self {
            name: item.name.clone(),
            info_hash_v1: hash(|content| content.info_hash_v1().map(|hash| hash.to_string())),
            info_hash_v2: hash(|content| content.info_hash_v2().map(|hash| hash.to_string())),
            size_bytes: item.size_bytes,
            file_count: item.file_count,
            state: item.state,
            progress: item.fraction(),
            progress_bytes: reading.map(|progress| progress.done()),
            rate_bytes: reading.and_then(|progress| progress.rate()),
            seconds_left: reading.and_then(|progress| progress.time_left()).map(|left| left.as_secs()),
            error: listed.error.clone(),
            warnings: item.content.as_ref().map(|content| content.warnings.clone()).unwrap_or_default(),
            damaged_bytes: listed.damaged(),
            torrent_url: seeding.map(|content| links.torrent(content.torrent())),
            torrent_url_v2: seeding.and_then(|content| Some(links.torrent(content.torrents.get(1)?))),
            magnet: seeding.map(|content| links.magnet(content)),
            seeders: listed.seeders,
            leechers: listed.leechers,
            completed: listed.completed(),
            uploaded_bytes: listed.uploaded(),
            added: item.added.to_string(),
        }
    }
}

impl Status {
    /// The box as a whole.
    pub(super) fn new(listed: &[Listed], problems: Vec<String>, disks: Vec<Disk>, uptime: Duration) -> Self {
        let count = |state| listed.iter().filter(|listed| listed.item.state == state).count();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: uptime.as_secs(),
            healthy: problems.is_empty(),
            problems,
            disks,
            items: STATES.into_iter().map(|state| (state_name(state), count(state))).collect(),
            seeders: listed.iter().map(|listed| u64::from(listed.seeders)).sum(),
            leechers: listed.iter().map(|listed| u64::from(listed.leechers)).sum(),
            completed: listed.iter().map(Listed::completed).sum(),
            uploaded_bytes: listed.iter().map(Listed::uploaded).sum(),
        }
    }
}

/// A value as JSON.
pub(super) fn reply(value: &impl Serialize) -> Response {
    let json =
        serde_json::to_vec(value).expect("invariant: our structs have string keys and no failing fields");
    reply::cacheable("application/json", json)
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::links;
    use super::super::view::tests::{published, unpublished};
    use super::*;
    use serde_json::{Value, json};

    fn json_of(listed: &Listed) -> Value {
        serde_json::to_value(ApiItem::new(listed, &links(None, "192.0.2.1:8080"))).unwrap()
    }

    #[test]
    fn a_published_item_has_all_fields() {
        let listed = published("a b", &[("x", 1), ("y/z", 2)]);
        let content = listed.seeding().unwrap();
        let (hash, v2) = (content.info_hash().to_string(), content.info_hash_v2().unwrap().to_string());
        let mut value = json_of(&listed);
        let magnet = value.as_object_mut().unwrap().remove("magnet").unwrap();
        assert!(magnet.as_str().unwrap().starts_with(&format!("magnet:?xt=urn:btih:{hash}")), "{magnet}");
        assert_eq!(
            value,
            json!({
                "name": "a b", "info_hash_v1": hash, "info_hash_v2": v2, "size_bytes": 3, "file_count": 2,
                "state": "seeding", "progress": 1.0, "error": null, "warnings": [], "damaged_bytes": 0,
                "progress_bytes": null, "rate_bytes": null, "seconds_left": null,
                "torrent_url": format!("http://192.0.2.1:8080/torrents/{hash}.torrent"),
                "torrent_url_v2": format!("http://192.0.2.1:8080/torrents/{}.torrent", &v2[..40]),
                "seeders": 1, "leechers": 0, "completed": 0, "uploaded_bytes": 0, "added": "2024-05-06T07:08:09Z",
            })
        );
    }

    /// Fails where `value` is not what `schema` of the document says: other fields, or other types.
    fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let schema = document.pointer(name.strip_prefix('#').unwrap()).expect(name);
            return check(document, schema, value, at);
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() && schema["type"] != "number" => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kinds = &schema["type"];
        assert!(
            kinds == kind || kinds.as_array().is_some_and(|it| it.contains(&kind.into())),
            "{at}: {value}"
        );
        if let Some(names) = schema["enum"].as_array() {
            assert!(names.contains(value), "{at}: {value}");
        }
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            check(document, &schema["items"], element, &format!("{at}[{index}]"));
        }
        if let Some(properties) = schema["properties"].as_object() {
            let fields = value.as_object().unwrap();
            assert!(fields.keys().eq(properties.keys()), "{at}: {fields:?}");
            let required: Vec<_> = schema["required"].as_array().unwrap().iter().collect();
            assert!(fields.keys().all(|name| required.contains(&&Value::from(name.as_str()))), "{at}");
            for (name, field) in fields {
                check(document, &properties[name], field, &format!("{at}.{name}"));
            }
        }
    }

    #[test]
    fn answers_are_what_the_document_says() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let schema = |path: &str| {
            let path = path.replace('/', "~1");
            document.pointer(&format!("/paths/{path}/get/responses/200/content/application~1json/schema"))
        };
        let mut listed: Vec<_> = STATES.map(|state| unpublished("a", state, Some("why"))).into();
        listed.push(published("b", &[("x", 1)]));
        let items = items(&listed, &links(None, "192.0.2.1"));
        let items = serde_json::to_value(items).unwrap();
        check(&document, schema("/api/v1/items").unwrap(), &items, "items");
        let disks = vec![Disk { power_on_hours: Some(7), model: Some("X".into()), ..Disk::silent("sda") }];
        let status = Status::new(&listed, vec!["No cable.".into()], disks, Duration::ZERO);
        check(&document, schema("/api/v1/status").unwrap(), &serde_json::to_value(status).unwrap(), "status");
        let (series, now) = super::super::chart::tests::some();
        let history = serde_json::to_value(super::super::api_history::History::new(&series, now)).unwrap();
        for path in ["/api/v1/history", "/api/v1/items/{info_hash}/history"] {
            check(&document, schema(path).unwrap(), &history, path);
        }
    }

    #[test]
    fn an_unpublished_item_has_nothing_to_download() {
        let value = json_of(&unpublished("a", State::Failed, Some("why")));
        for key in ["info_hash_v1", "info_hash_v2", "torrent_url", "magnet"] {
            assert_eq!(value[key], Value::Null, "{key}");
        }
        assert_eq!(
            (&value["state"], &value["error"], &value["seeders"]),
            (&json!("failed"), &json!("why"), &json!(0))
        );
    }

    #[test]
    fn the_status_counts_items_in_each_state() {
        let listed = [published("a", &[]), published("b", &[]), unpublished("c", State::Hashing, None)];
        let status = Status::new(&listed, vec!["No cable.".into()], Vec::new(), Duration::from_millis(2900));
        let value = serde_json::to_value(status).unwrap();
        assert_eq!((&value["items"]["seeding"], &value["items"]["hashing"]), (&json!(2), &json!(1)));
        assert_eq!((&value["healthy"], &value["uptime_seconds"]), (&json!(false), &json!(2)));
    }
}
