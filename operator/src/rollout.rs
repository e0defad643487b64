//! Which version each part may run next: migration, core, worker, gateway, each when the one before is done. Pure.

/// Versions (image tags) to run, as decided for this pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The version that the schema is brought to, by a Job.
    pub migrate: String,
    pub core: String,
    pub worker: String,
    pub gateway: String,
}

impl Versions {
    /// Everything at one version.
    pub fn all(version: &str) -> Self {
        let version = || version.to_owned();
        Self { migrate: version(), core: version(), worker: version(), gateway: version() }
    }
}

/// How far the migration to the wanted version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migration {
    /// There is no Job yet.
    NotStarted,
    Running,
    Done,
    Failed(String),
}

/// A deployment as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Tag of its image.
    pub version: String,
    /// All its pods are of this version.
    pub updated: bool,
    /// And available.
    pub rolled_out: bool,
}

/// What runs now; `None`: there is no such deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub core: Option<Running>,
    pub worker: Option<Running>,
    pub gateway: Option<Running>,
}

/// Where the way to the wanted version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Migrating,
    UpdatingCore,
    UpdatingWorker,
    UpdatingGateway,
    Done,
}

/// A deployment that does not exist starts at the wanted version: on a first installation everything is made at once,
/// and core waits for the schema by itself.
pub fn plan(wanted: &str, migration: &Migration, found: &Found) -> (Versions, Stage) {
    let runs = |part: &Option<Running>| part.as_ref().is_some_and(|it| it.version == wanted && it.rolled_out);
    let next = |part: &Option<Running>, allowed: bool| match part {
        Some(running) if !allowed => running.version.clone(),
        _ => wanted.to_owned(),
    };
    let migrated = *migration == Migration::Done;
    let core_done = migrated && runs(&found.core);
    let worker_done = core_done && runs(&found.worker);
    let versions = Versions {
        migrate: wanted.to_owned(),
        core: next(&found.core, migrated),
        worker: next(&found.worker, core_done),
        gateway: next(&found.gateway, worker_done),
    };
    let updated = |part: &Option<Running>| part.as_ref().is_some_and(|it| it.version == wanted && it.updated);
    // once everything is of the wanted version, a pod that restarts is no upgrade
    let done = migrated && [&found.core, &found.worker, &found.gateway].into_iter().all(updated);
    let stage = if done {
        Stage::Done
    } else if !migrated {
        Stage::Migrating
    } else if !core_done {
        Stage::UpdatingCore
    } else if !worker_done {
        Stage::UpdatingWorker
    } else {
        Stage::UpdatingGateway
    };
    (versions, stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(version: &str, rolled_out: bool) -> Running {
        Running { version: version.into(), updated: rolled_out, rolled_out }
    }

    fn tags(versions: &Versions) -> [&str; 3] {
        [&versions.core, &versions.worker, &versions.gateway]
    }

    #[test]
    fn a_first_installation_makes_everything_at_once() {
        let (versions, stage) = plan("2", &Migration::NotStarted, &Found::default());
        assert_eq!((tags(&versions), stage), (["2", "2", "2"], Stage::Migrating));
    }

    #[test]
    fn an_upgrade_goes_one_part_at_a_time() {
        let mut found = Found {
            core: Some(running("1", true)),
            worker: Some(running("1", true)),
            gateway: Some(running("1", true)),
        };
        let step = |migration: &Migration, found: &Found| {
            let (versions, stage) = plan("2", migration, found);
            (tags(&versions).map(str::to_owned), stage)
        };
        let want = |core: &str, worker: &str, gateway: &str| [core, worker, gateway].map(str::to_owned);
        assert_eq!(step(&Migration::Running, &found), (want("1", "1", "1"), Stage::Migrating));
        assert_eq!(step(&Migration::Failed("x".into()), &found), (want("1", "1", "1"), Stage::Migrating));
        assert_eq!(step(&Migration::Done, &found), (want("2", "1", "1"), Stage::UpdatingCore));
        found.core = Some(running("2", false));
        assert_eq!(step(&Migration::Done, &found), (want("2", "1", "1"), Stage::UpdatingCore));
        found.core = Some(running("2", true));
        assert_eq!(step(&Migration::Done, &found), (want("2", "2", "1"), Stage::UpdatingWorker));
        found.worker = Some(running("2", true));
        assert_eq!(step(&Migration::Done, &found), (want("2", "2", "2"), Stage::UpdatingGateway));
        found.gateway = Some(running("2", true));
        assert_eq!(step(&Migration::Done, &found), (want("2", "2", "2"), Stage::Done));
    }

    #[test]
    fn an_upgrade_turned_back_half_way_goes_the_same_way() {
        let found = Found {
            core: Some(running("2", true)),
            worker: Some(running("1", true)),
            gateway: Some(running("1", true)),
        };
        let (versions, stage) = plan("1", &Migration::Done, &found);
        assert_eq!((tags(&versions), stage), (["1", "1", "1"], Stage::UpdatingCore));
    }
}
