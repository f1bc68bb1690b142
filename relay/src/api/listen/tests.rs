//! Connections that make room for one another.

use super::*;
use axum::routing::get;
use futures_util::FutureExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio::sync::{Notify, OwnedSemaphorePermit};

const BODY: [u8; 4096] = [b'x'; 4096];

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// One place, and a connection on it that is being served.
struct Rig {
    seats: Arc<Seats>,
    /// A request for `/slow` is there, and what it waits for.
    slow: [Arc<Notify>; 2],
    _stop: watch::Sender<bool>,
    connections: JoinSet<()>,
}

impl Rig {
    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(ours: S) -> Self {
        let seats = Seats::new(1);
        let seat = seats.take(seats.free().await);
        let slow = [Arc::default(), Arc::default()];
        let [begun, end]: [Arc<Notify>; 2] = slow.clone();
        let wait = move || async move {
            begun.notify_one();
            end.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(|| async { "quick" }))
            .route("/long", get(|| async { BODY.to_vec() }))
            .route("/slow", get(wait));
        let (stop, stopped) = watch::channel(false);
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let stream = seat.watch(ours);
        let connection = Connection { acceptor: None, router, stop: stopped, peer, seat };
        let mut connections = JoinSet::new();
        connections.spawn(connection.answer(stream));
        Self { seats, slow, _stop: stop, connections }
    }

    /// A newcomer that looks for a place, and does not get one at once.
    fn newcomer(&self) -> Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + '_>> {
        let mut newcomer: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(self.seats.free());
        assert!(newcomer.as_mut().now_or_never().is_none(), "the place is taken");
        newcomer
    }
}

async fn ask(theirs: &mut DuplexStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n");
    theirs.write_all(request.as_bytes()).await.unwrap();
}

/// Asks for an answer whose body is `quick`, and takes it.
async fn ask_and_take(theirs: &mut DuplexStream) {
    ask(theirs, "/").await;
    let mut taken = Vec::new();
    while !taken.ends_with(b"quick") {
        taken.push(theirs.read_u8().await.unwrap());
    }
}

/// What comes until the connection ends, while a newcomer waits for its place.
async fn rest(
    theirs: &mut DuplexStream,
    newcomer: impl Future<Output = OwnedSemaphorePermit>,
) -> Vec<u8> {
    let mut rest = Vec::new();
    let both = async { tokio::join!(newcomer, theirs.read_to_end(&mut rest)) };
    let (_slot, read) = timeout(LONG, both).await.expect("room is made");
    read.unwrap();
    rest
}

#[tokio::test]
async fn an_idle_connection_is_closed_for_a_newcomer() {
    let (ours, mut theirs) = duplex(1024);
    let rig = Rig::serve(ours).await;
    ask_and_take(&mut theirs).await;

    let rest = rest(&mut theirs, rig.newcomer()).await;

    assert_eq!(rest, b"");
}

#[tokio::test]
async fn an_answer_that_its_client_has_not_taken_is_not_cut_off_for_a_newcomer() {
    let (ours, mut theirs) = duplex(64);
    let rig = Rig::serve(ours).await;
    ask(&mut theirs, "/long").await;
    // With its first byte all of the answer was made; most of it waits to be written.
    assert_eq!(theirs.read_u8().await.unwrap(), b'H');

    let mut newcomer = rig.newcomer();
    for _ in 0..8 {
        tokio::task::yield_now().await;
        assert!(newcomer.as_mut().now_or_never().is_none(), "the answer is under way");
    }

    let rest = rest(&mut theirs, newcomer).await;
    assert!(rest.starts_with(b"TTP/1.1 200 OK\r\n"));
    assert!(rest.ends_with(&BODY), "{} bytes came", rest.len());
}

#[tokio::test]
async fn a_request_that_comes_while_its_connection_is_given_up_is_answered() {
    let (ours, mut theirs) = duplex(1024);
    let rig = Rig::serve(ours).await;
    ask_and_take(&mut theirs).await;
    // The connection sees both only after both have happened.
    ask(&mut theirs, "/slow").await;
    let mut newcomer = rig.newcomer();

    let [begun, end] = &rig.slow;
    timeout(LONG, begun.notified()).await.expect("the request is taken up");
    for _ in 0..8 {
        tokio::task::yield_now().await;
        assert!(newcomer.as_mut().now_or_never().is_none(), "the answer is under way");
    }
    end.notify_one();

    let rest = rest(&mut theirs, newcomer).await;
    assert!(rest.ends_with(b"\r\n\r\nslow"), "{}", rest.escape_ascii());
}

/// A stream that cannot be shut down, as one whose client takes nothing.
struct Stuck(DuplexStream);

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_client_that_does_not_let_its_connection_close_or_sends_half_a_head_holds_no_place() {
    let (ours, mut theirs) = duplex(1024);
    let mut rig = Rig::serve(Stuck(ours)).await;
    ask_and_take(&mut theirs).await;
    let newcomer = rig.newcomer();
    drop(timeout(LONG, newcomer).await.expect("room is made"));
    rig.connections.join_next().await.unwrap().unwrap();

    let (ours, mut theirs) = duplex(1024);
    let rig = Rig::serve(ours).await;
    theirs.write_all(b"GET /").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(rest(&mut theirs, rig.newcomer()).await, b"");
}

#[tokio::test]
async fn one_newcomer_more_than_places_has_one_connection_given_up_and_the_last_place_none() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut arrivals = Arrivals::new(socket, 2);
    let mut clients = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..2 {
        clients.push(TcpStream::connect(address).await.unwrap());
        let (_, _, seat) = arrivals.next().await.unwrap();
        taken.push(seat);
    }
    let given_up = |taken: &[Arc<Seat>]| -> Vec<bool> {
        taken.iter().map(|seat| seat.given_up().now_or_never().is_some()).collect()
    };

    assert!(arrivals.next().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false, false], "nobody waits for a place");

    clients.push(TcpStream::connect(address).await.unwrap());
    while given_up(&taken) == [false, false] {
        // Looked for anew each time, as when something else happens beside.
        assert!(arrivals.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert!(arrivals.next().now_or_never().is_none());
    assert_eq!(given_up(&taken), [true, false]);

    taken.remove(0);
    let (_, peer, seat) = arrivals.next().await.unwrap();
    taken.push(seat);
    assert_eq!(peer, clients[2].local_addr().unwrap());
    assert_eq!(given_up(&taken), [false, false]);
}
