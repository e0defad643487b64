//! Forks children so that the kernel kills them when this process ends, however it ends.
//!
//! `setpriv --pdeathsig KILL` sets the parent-death signal without unsafe code here. The kernel's "parent" is the
//! thread that forked, not the process (prctl(2), `PR_SET_PDEATHSIG`): a child started from a thread of one test's runtime
//! would die with that test, although another test still uses it. So one thread that never ends does all the forking.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result};

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// A command that runs `program` bound to the life of this process where util-linux's `setpriv` is there. Elsewhere
/// only `Drop` cleans up. The pid is the program's own, as setpriv execs it.
pub(super) fn bound_command(program: &std::path::Path) -> Command {
    match crate::install::find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts `command` from the thread that outlives every test.
pub(super) fn launch(command: Command) -> Result<Child> {
    static LAUNCHER: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = LAUNCHER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for Order { mut command, reply } in inbox {
                // A caller that is gone drops the child handle, which it could not have used anyway.
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = channel();
    orders.send(Order { command, reply }).ok().context("the launcher thread is gone")?;
    answer.recv().context("the launcher thread is gone")?.context("failed to start the process")
}
