//! What stands between edges and relays and can send packets elsewhere at any moment, as a balancer
//! does when a relay is gone.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The largest packet there is.
const PACKET_BYTES: usize = 65_535;

/// How often a thread looks whether the switch is still there.
const LOOK: Duration = Duration::from_millis(50);

/// Passes packets of clients on, each client's from a port of its own, until it is dropped.
#[derive(Debug)]
pub struct UdpSwitch {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Threads that pass packets on count them, a test turns the switch.
    state: Mutex<State>,
    front: UdpSocket,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    /// After so many more packets the target is another one.
    next: Option<(u64, SocketAddr)>,
    /// Clients of which nothing is passed on: the first so many.
    deaf: usize,
    clients: HashMap<SocketAddr, Option<UdpSocket>>,
    to: HashMap<SocketAddr, u64>,
    from: HashMap<SocketAddr, u64>,
    over: bool,
}

impl UdpSwitch {
    /// Passes packets on to `target`.
    ///
    /// # Panics
    ///
    /// When the host gives no socket.
    pub fn start(target: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        front.set_read_timeout(Some(LOOK)).expect("a socket takes a timeout");
        let address = front.local_addr().expect("a socket has an address");
        let state = State {
            target,
            next: None,
            deaf: 0,
            clients: HashMap::new(),
            to: HashMap::new(),
            from: HashMap::new(),
            over: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), front });
        let passing = Arc::clone(&shared);
        thread::spawn(move || passing.pass());
        Self { address, shared }
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes packets on to `target` from here on.
    pub fn turn(&self, target: SocketAddr) {
        self.shared.lock().target = target;
    }

    /// Passes packets on to `target` after so many more.
    pub fn turn_after(&self, packets: u64, target: SocketAddr) {
        self.shared.lock().next = Some((packets, target));
    }

    /// Loses every packet of the next so many clients, each of which has a port of its own.
    pub fn lose_clients(&self, clients: usize) {
        let mut state = self.shared.lock();
        state.deaf = state.clients.len() + clients;
    }

    /// How many packets were passed on to `target`.
    pub fn packets_to(&self, target: SocketAddr) -> u64 {
        self.shared.lock().to.get(&target).copied().unwrap_or(0)
    }

    /// How many packets came back from `target`.
    pub fn answers_of(&self, target: SocketAddr) -> u64 {
        self.shared.lock().from.get(&target).copied().unwrap_or(0)
    }
}

impl Drop for UdpSwitch {
    fn drop(&mut self) {
        self.shared.lock().over = true;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(self: Arc<Self>) {
        let mut packet = vec![0; PACKET_BYTES];
        while !self.lock().over {
            let Ok((length, client)) = self.front.recv_from(&mut packet) else { continue };
            let mut state = self.lock();
            let State { next, target, to, clients, deaf, .. } = &mut *state;
            let known = clients.len();
            let back = clients.entry(client).or_insert_with(|| {
                (known >= *deaf).then(|| self.answer(client).expect("the host gives sockets"))
            });
            let Some(back) = back else { continue };
            // Fails when nobody is there any more, as it would on a network.
            let _ = back.send_to(&packet[..length], *target);
            *to.entry(*target).or_default() += 1;
            match next {
                Some((1, then)) => (*target, *next) = (*then, None),
                Some((left, _)) => *left -= 1,
                None => {}
            }
        }
    }

    /// A socket whose answers go to `client`.
    fn answer(self: &Arc<Self>, client: SocketAddr) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(LOOK))?;
        let (shared, answers) = (Arc::clone(self), socket.try_clone()?);
        thread::spawn(move || {
            let mut packet = vec![0; PACKET_BYTES];
            while !shared.lock().over {
                let Ok((length, from)) = answers.recv_from(&mut packet) else { continue };
                *shared.lock().from.entry(from).or_default() += 1;
                let _ = shared.front.send_to(&packet[..length], client);
            }
        });
        Ok(socket)
    }
}
