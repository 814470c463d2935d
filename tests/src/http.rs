//! A small HTTP client: one request on one connection. It can send what a proper client never would.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Longer than this no answer of the box takes to begin or to go on.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    host: Option<String>,
    fields: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// GETs `target`.
///
/// # Panics
/// When no proper answer comes.
#[track_caller]
pub fn get(address: SocketAddr, target: &str) -> Response {
    Request::get(target).send(address)
}

/// GETs an URL of the kind the box makes: `http://ADDRESS:PORT/...`.
///
/// # Panics
/// When no proper answer comes.
#[track_caller]
pub fn get_url(url: &str) -> Response {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not http"));
    let (host, target) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let address = host.parse().or_else(|_| format!("{host}:80").parse());
    get(address.unwrap_or_else(|_| panic!("{url} has no address")), target)
}

/// A path, or a name in one, as it is written in a URL.
pub fn encode(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'/' {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

impl Request {
    /// A GET request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A request with any method.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), host: None, fields: Vec::new() }
    }

    /// Sets a field besides `Host` and `Connection`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sets `Host` instead of the address that is connected to.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sends it.
    ///
    /// # Panics
    /// When no proper answer comes.
    #[track_caller]
    pub fn send(&self, address: SocketAddr) -> Response {
        self.try_send(address)
            .unwrap_or_else(|error| panic!("{} {address}{}: {error}", self.method, self.target))
    }

    /// Sends it from another address of this machine.
    ///
    /// # Panics
    /// When no proper answer comes.
    #[track_caller]
    pub fn send_from(&self, source: IpAddr, address: SocketAddr) -> Response {
        let answer = connect_from(source, address).and_then(|stream| self.exchange(stream, address));
        answer
            .unwrap_or_else(|error| panic!("{} {address}{} from {source}: {error}", self.method, self.target))
    }

    /// Sends it; whoever asks knows that it may fail.
    pub fn try_send(&self, address: SocketAddr) -> io::Result<Response> {
        self.exchange(TcpStream::connect_timeout(&address, PATIENCE)?, address)
    }

    fn exchange(&self, mut stream: TcpStream, address: SocketAddr) -> io::Result<Response> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let host = self.host.clone().unwrap_or_else(|| address.to_string());
        let fields: String =
            self.fields.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        let head =
            format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.method, self.target);
        stream.write_all(format!("{head}{fields}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Response::parse(&answer, self.method == "HEAD")
    }
}

/// Connects from another address of this machine.
pub fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    Ok(socket.into())
}

impl Response {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn parse(answer: &[u8], is_head: bool) -> io::Result<Self> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{why}: {:?}", cut(answer)));
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| bad("no head"))?;
        let head = std::str::from_utf8(&answer[..end]).map_err(|_| bad("head is not a text"))?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| bad("no status"))?;
        let fields: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Self { status, fields, body: answer[end + 4..].to_vec() };
        if response.field("transfer-encoding") == Some("chunked") {
            response.body = join_chunks(&response.body).ok_or_else(|| bad("broken chunks"))?;
        } else if let Some(length) = response.field("content-length").filter(|_| !is_head && status != 304)
            && length.parse() != Ok(response.body.len())
        {
            return Err(bad(&format!("{} bytes instead of {length}", response.body.len())));
        }
        Ok(response)
    }
}

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + length)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + length..)?;
    }
}
