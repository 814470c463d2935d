//! The bounded HTTP/1 server under the page and the tracker.
//!
//! hyper parses and writes; from its companion hyper-util come only `TokioIo` and `TokioTimer`, because an adapter of
//! our own would need `unsafe` code (reads into uninitialised buffers) and gain nothing. http-body-util is not
//! needed: [`Body`] knows the two kinds of answers we give.
//!
//! What a client can make the server hold is bounded: [`MAX_CONNECTIONS`] of them, of one network a part, each with a head
//! of at most [`MAX_HEAD`] bytes that must arrive within [`HEAD_TIMEOUT`]. Whoever waits without a request gives way to who
//! comes (see [`waiting`](super::waiting)). Request bodies are never read: a connection that sends one is closed after its answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracker::prefix;

use super::places::{Places, TakenPlace};
use super::waiting::{self, Conversation};

/// Connections a listener holds at once; more wait in the kernel's queue while all of these are being answered.
const MAX_CONNECTIONS: usize = 1024;

/// Of these, those of one network (see [`prefix`]): whoever has many addresses side by side leaves most of them to others.
const MAX_PER_NETWORK: usize = MAX_CONNECTIONS / 4;

/// Bytes of a request's line and header fields; also the write buffer. A scrape of 74 info hashes has 5 KB.
const MAX_HEAD: usize = 16 * 1024;

/// Header fields in a request; browsers send about 20.
const MAX_FIELDS: usize = 64;

/// Time for a request's head to arrive, counted from the connection or the end of the answer before: the limit for
/// slow senders and for idle connections alike.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Time after which the kernel gives up a client that takes nothing of what we send.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Time that answers under way have to finish after shutdown.
const GRACE: Duration = Duration::from_millis(1500);

/// Wait after a failed accept, such as for want of file descriptors, which only time can cure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request without its body.
#[derive(Debug)]
pub struct Request {
    /// Method, URI, header fields.
    pub head: Parts,
    /// Who asks; IPv4 is never in mapped form.
    pub peer: SocketAddr,
    /// The address the client reached us at; IPv4 is never in mapped form.
    pub local: SocketAddr,
}

/// An answer.
pub type Response = hyper::Response<Body>;

/// Content of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it, here.
    Whole(Bytes),
    /// Parts to come; an error or too few bytes for the `Content-Length` break the connection off.
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(parts) => parts.poll_recv(cx).map(|part| part.map(|part| part.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::new(),
        }
    }
}

/// An answer that is here as a whole.
pub fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::Whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer to a method other than GET and HEAD, which are all the box knows; `None` for those two.
pub fn refuse_method(method: &Method) -> Option<Response> {
    if [Method::GET, Method::HEAD].contains(method) {
        return None;
    }
    let sentence = "This box only answers GET and HEAD; nothing can be changed over the network.\n";
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", sentence);
    response.headers_mut().insert(hyper::header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

/// Answers requests on `listener` until `shutdown`, then lets answers under way finish for a moment.
pub async fn serve<H, F>(listener: TcpListener, handler: H, shutdown: CancellationToken)
where
    H: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let places = Places::new(MAX_CONNECTIONS, MAX_PER_NETWORK, prefix::network);
    let queue = Arc::new(waiting::Queue::default());
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = accept(&listener, &places, &queue) => accepted,
            () = shutdown.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        let conversation = Conversation::new(Arc::clone(&queue));
        let (handler, shutdown) = (handler.clone(), shutdown.clone());
        connections.spawn(async move {
            tokio::select! {
                () = converse(stream, peer, handler, &conversation, shutdown) => {}
                () = conversation.dismissed() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    // What is left after that is ended with the set.
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// The next connection; those for which no room can be made wait, and of a network that has all it may have they are closed.
async fn accept(
    listener: &TcpListener,
    places: &Places,
    queue: &waiting::Queue,
) -> (TcpStream, SocketAddr, TakenPlace) {
    loop {
        if places.are_all_taken() {
            queue.make_room();
        }
        places.free().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(place) = places.try_take(peer.ip()) {
                    return (stream, peer, place);
                }
            }
            Err(error) => {
                tracing::warn!("accepting an HTTP connection failed: {error}; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    handler: H,
    conversation: &Arc<Conversation>,
    shutdown: CancellationToken,
) where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let Ok(local) = stream.local_addr() else { return };
    // Both only make things better; without them the connection still works.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(STALL_TIMEOUT));
    let (peer, local) = (canonical(peer), canonical(local));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answering = conversation.answering();
        let (head, _body) = request.into_parts();
        let answer = handler(Request { head, peer, local });
        async move { Ok::<_, Infallible>(answer.await.map(|body| waiting::Content::new(body, answering))) }
    });
    let stream = waiting::Stream::new(TokioIo::new(stream), conversation);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    // How a connection ends concerns nobody but its client.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server whose handler says who asked for what under which address, and the server's end.
    struct Server {
        address: SocketAddr,
        shutdown: CancellationToken,
        ended: tokio::task::JoinHandle<()>,
    }

    impl Server {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let shutdown = CancellationToken::new();
            let ended = tokio::spawn(serve(listener, answer, shutdown.clone()));
            Self { address, shutdown, ended }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Everything the server sends until it closes the connection.
        async fn ask(&self, request: &[u8]) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request).await.unwrap();
            rest(&mut stream).await
        }
    }

    async fn answer(request: Request) -> Response {
        match request.head.uri.path() {
            "/broken" => {
                let (parts, body) = mpsc::channel(2);
                parts.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
                parts.send(Err(io::Error::other("the disk is gone"))).await.unwrap();
                let mut response = Response::new(Body::Stream(body));
                response.headers_mut().insert(hyper::header::CONTENT_LENGTH, HeaderValue::from_static("8"));
                response
            }
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                response(StatusCode::OK, "text/plain", "done")
            }
            path => response(
                StatusCode::OK,
                "text/plain",
                format!("{path} for {} at {}", request.peer, request.local),
            ),
        }
    }

    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        // A server that closes while we still send resets the connection; what it said before counts.
        let _ = tokio::time::timeout(Duration::from_secs(10), read).await.expect("the server closes");
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn the_handler_knows_both_addresses() {
        let server = Server::start().await;
        let mut stream = server.connect().await;
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let body = format!("/x for {} at {}", stream.local_addr().unwrap(), server.address);
        let said = rest(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with(&body), "{said}");
    }

    #[tokio::test]
    async fn a_mapped_address_is_told_as_the_ipv4_address_it_is() {
        let mapped = "[::ffff:192.0.2.1]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "192.0.2.1:80".parse().unwrap());
    }

    #[tokio::test]
    async fn bodies_are_not_read_and_end_the_connection() {
        let server = Server::start().await;
        for head in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
            let said = server.ask(format!("GET /x HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n").as_bytes()).await;
            assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        }
    }

    #[tokio::test]
    async fn heads_are_bounded() {
        let server = Server::start().await;
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(MAX_HEAD));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        for request in [long, many] {
            let said = server.ask(request.as_bytes()).await;
            assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_does_not_look_whole() {
        let said = Server::start().await.ask(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let body = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(body.len() < 8, "{said}");
    }

    #[tokio::test]
    async fn shutdown_lets_answers_finish_and_ends_idle_connections() {
        let server = Server::start().await;
        let mut idle = server.connect().await;
        let mut busy = server.connect().await;
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // The idle one has been accepted for certain when it has had an answer.
        idle.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        idle.readable().await.unwrap();
        server.shutdown.cancel();
        let (idle, busy) = tokio::join!(rest(&mut idle), rest(&mut busy));
        assert!(idle.contains("/x for"), "{idle}");
        assert!(busy.ends_with("done"), "{busy}");
        tokio::time::timeout(GRACE, server.ended).await.expect("it ends in time").unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[test]
    fn only_get_and_head_are_known() {
        assert!([Method::GET, Method::HEAD].iter().all(|method| refuse_method(method).is_none()));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
            let refusal = refuse_method(&method).unwrap();
            assert_eq!(refusal.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(refusal.headers()[hyper::header::ALLOW], "GET, HEAD");
        }
    }
}
