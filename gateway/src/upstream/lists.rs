//! Lists of conversations for sessions on their way in. When many come at once, one question is asked for all who wait: the
//! more there are, the less each costs core and the database.

use std::sync::Arc;

use chatcluster_contracts::ids::{UserId, WorkspaceId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::core_api::{CoreApi, CoreError, Listed};

/// Users in one question.
const AT_ONCE: usize = 16;

/// How many times as long as a read took nobody's list is read: those who come leave three quarters of the time to the
/// messages, and are more when the next is read.
const REST: u32 = 3;

type Outcome = Result<Vec<Listed>, Arc<CoreError>>;

#[derive(Debug)]
struct Waiting {
    user: UserId,
    workspace: WorkspaceId,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
pub(crate) struct Lists {
    core: CoreApi,
    /// In the order in which they came.
    waiting: Mutex<Vec<Waiting>>,
}

impl Lists {
    pub(crate) fn new(core: CoreApi) -> Arc<Self> {
        Arc::new(Self { core, waiting: Mutex::default() })
    }

    /// The user's conversations with their heads, read after this was asked for. Whose turn comes first reads for all.
    pub(crate) async fn of(self: &Arc<Self>, user: &UserId, workspace: &WorkspaceId) -> Outcome {
        let mut outcome = self.ask(user, workspace);
        loop {
            tokio::select! {
                biased;
                answer = &mut outcome => match answer {
                    Ok(answer) => return answer,
                    // who read it broke down
                    Err(_) => outcome = self.ask(user, workspace),
                },
                () = self.core.in_turn(REST, self.answer_some_to_the_end()) => {}
            }
        }
    }

    fn ask(&self, user: &UserId, workspace: &WorkspaceId) -> oneshot::Receiver<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.waiting.lock().push(Waiting { user: user.clone(), workspace: workspace.clone(), answer });
        outcome
    }

    /// Whoever has the turn may have its own answer, or be gone, before those it reads for have theirs.
    async fn answer_some_to_the_end(self: &Arc<Self>) {
        let lists = self.clone();
        let _ = tokio::spawn(async move { lists.answer_some().await }).await;
    }

    /// Reads for those who have waited longest.
    async fn answer_some(&self) {
        let Some((workspace, batch)) = self.next() else { return };
        let users: Vec<UserId> = batch.iter().map(|waiting| waiting.user.clone()).collect();
        match self.core.lists(&users, &workspace).await {
            Ok(lists) => {
                for Waiting { user, answer, .. } in batch {
                    // a user may wait with several sessions
                    let list = lists.get(user.as_str()).cloned().unwrap_or_default();
                    let _ = answer.send(Ok(list));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for waiting in batch {
                    let _ = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Those who came first, of one workspace.
    fn next(&self) -> Option<(WorkspaceId, Vec<Waiting>)> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|it| !it.answer.is_closed());
        let workspace = waiting.first()?.workspace.clone();
        let mut left = AT_ONCE;
        let is_next = |it: &mut Waiting| {
            let is_next = left > 0 && it.workspace == workspace;
            left -= usize::from(is_next);
            is_next
        };
        let batch = waiting.extract_if(.., is_next).collect();
        Some((workspace, batch))
    }
}
