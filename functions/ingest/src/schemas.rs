//! The schemas that events are judged by: the registry's, kept in the process.
//!
//! Guarantees: a registry that is slow, throttled or away stops no event: then the function goes on with what it read last, and
//! before it has read anything with what it was built with. A version that is named and that nobody can give it now is passed
//! without a judgement, and is not said to have one.
//! Does not guarantee that a version is known at once: it is when it was published a [`FRESH_FOR`] ago.

mod bundle;
mod fault;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use penstock::event::{Data, Event};
use penstock::ports::Error;
use penstock::schema::Judged;
use penstock::time::Timestamp;
use penstock_schema::name::URN;
use penstock_schema::policy::Undeclared;
use penstock_schema::registry::{Index, Kept, Listed, Published, Registry};
use penstock_schema::{Schema, SchemaId, TypeName, Validator};

use bundle::Bundle;
pub use fault::SchemaFault;

/// How long the index is used before it is read again.
pub const FRESH_FOR: Duration = Duration::from_secs(60);

/// How long a request waits for what the process has not read yet.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// The index is read again sooner for an event that names what is not in it, but not more often than this. Who names something
/// that is nowhere waits so long for the answer.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// After a failure the registry is not asked for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// Schemas that are kept compiled.
const VALIDATORS_MAX: NonZeroUsize = NonZeroUsize::new(500).unwrap();

/// Bytes of data, of all events of a request, in which faults are looked for. Beyond them an event is only told to be invalid:
/// to say where costs many times what judging does.
pub(crate) const EXPLAINED_BYTES: usize = 64 * 1024;

/// The schemas.
#[derive(Debug)]
pub struct Schemas<R> {
    registry: Option<Arc<R>>,
    bundle: Bundle,
    undeclared_types: Undeclared,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    index: Option<Arc<Index>>,
    /// When the index is to be read next.
    due: Timestamp,
    /// When it was read last.
    read: Timestamp,
    reading: bool,
    /// Versions are not asked for before: they could not be had.
    versions_due: Timestamp,
    validators: LruCache<SchemaId, Option<Validator>>,
}

/// What the events of one request are judged by, whatever is read meanwhile.
#[derive(Debug)]
pub struct View<'a> {
    index: Option<Arc<Index>>,
    bundle: &'a Bundle,
    undeclared_types: Undeclared,
    validators: BTreeMap<SchemaId, Validator>,
}

/// No registry: events are judged by the schemas that the function was built with.
#[derive(Debug, Clone, Copy)]
pub enum NoRegistry {}

impl Schemas<NoRegistry> {
    /// None at all: every event passes.
    pub fn none() -> Self {
        Self::of(None, Bundle::default(), Undeclared::Pass)
    }
}

impl<R: Registry + 'static> Schemas<R> {
    /// Schemas of a registry, and those of this build. `undeclared_types` is what becomes of events without a schema.
    pub fn new(registry: Option<R>, undeclared_types: Undeclared) -> Self {
        Self::of(registry.map(Arc::new), Bundle::of_build(), undeclared_types)
    }

    fn of(registry: Option<Arc<R>>, bundle: Bundle, undeclared_types: Undeclared) -> Self {
        let known = Known {
            index: None,
            due: Timestamp(0),
            read: Timestamp(0),
            reading: false,
            versions_due: Timestamp(0),
            validators: LruCache::new(VALIDATORS_MAX),
        };
        Self { registry, bundle, undeclared_types, known: Arc::new(Mutex::new(known)) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What these events are judged by, read as far as it can be read soon.
    pub async fn prepare(&self, events: impl Iterator<Item = &Event> + Clone, now: Timestamp) -> View<'_> {
        self.read_index(now, false).await;
        let view = || {
            let (bundle, undeclared_types) = (&self.bundle, self.undeclared_types);
            View { index: self.known().index.clone(), bundle, undeclared_types, validators: BTreeMap::new() }
        };
        let mut view = {
            let known = view();
            if self.registry.is_some() && events.clone().any(|event| known.may_be_new(event)) {
                let again = self.known().read.plus(AGAIN_AFTER);
                tokio::time::sleep(again.since(now)).await;
                self.read_index(now.max(again), true).await;
            }
            view()
        };
        let wanted: BTreeSet<SchemaId> =
            events.filter_map(|event| view.wanted(event).ok().flatten()).map(|(id, _)| id).collect();
        let mut missing = Vec::new();
        {
            let mut known = self.known();
            for id in wanted {
                match known.validators.get(&id) {
                    Some(Some(validator)) => _ = view.validators.insert(id, validator.clone()),
                    // it was no schema
                    Some(None) => {}
                    None => missing.push(id),
                }
            }
        }
        let found = if missing.is_empty() { Vec::new() } else { self.read_versions(&missing, now).await };
        let mut known = self.known();
        for Kept { id, text } in found {
            let validator = Schema::parse(id.clone(), &text).map(|schema| Validator::new(&schema));
            if validator.is_err() {
                tracing::warn!(schema = %id, "a schema in the registry is none, and events of it pass");
            }
            let validator = validator.ok();
            known.validators.put(id.clone(), validator.clone());
            view.validators.extend(validator.map(|validator| (id, validator)));
        }
        view
    }

    /// Versions from the registry, and from the bundle what it does not give.
    async fn read_versions(&self, wanted: &[SchemaId], now: Timestamp) -> Vec<Kept> {
        let mut found = Vec::new();
        let is_due = now >= self.known().versions_due;
        if let Some(registry) = self.registry.as_ref().filter(|_| is_due) {
            let read = tokio::time::timeout(WAIT_MAX, registry.versions(wanted)).await;
            match read.unwrap_or_else(|_| Err(no_answer(WAIT_MAX))) {
                Ok(versions) => found = versions,
                Err(error) => {
                    tracing::warn!(%error, "schemas cannot be read; what is built in holds");
                    self.known().versions_due = now.plus(PAUSE);
                }
            }
        }
        let bundled = self.bundle.versions.iter().filter(|kept| wanted.contains(&kept.id));
        let missing: Vec<Kept> =
            bundled.filter(|kept| !found.iter().any(|other: &Kept| other.id == kept.id)).cloned().collect();
        found.extend(missing);
        found
    }

    /// Reads the index when it is due: the first time, and after a while without requests, at once; else beside what goes on with
    /// the one that there is. `at_once`, it is due sooner, and waited for.
    async fn read_index(&self, now: Timestamp, at_once: bool) {
        let Some(registry) = self.registry.clone() else { return };
        let waits = {
            let mut known = self.known();
            let due = if at_once { known.due.min(known.read.plus(AGAIN_AFTER)) } else { known.due };
            if known.reading || now < due {
                return;
            }
            known.reading = true;
            // nobody came for a while: what is there may be older than is promised
            let is_old = now > known.due.plus(FRESH_FOR);
            (known.due, known.read) = (now.plus(FRESH_FOR), now);
            known.index.is_none() || at_once || is_old
        };
        let known = Arc::clone(&self.known);
        let reading = tokio::spawn(async move {
            // whatever becomes of it, the next one has to be able to begin
            let index = tokio::time::timeout(PAUSE, registry.index(false)).await;
            let index = index.unwrap_or_else(|_| Err(no_answer(PAUSE)));
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.reading = false;
            match index {
                Ok(index) => known.index = Some(Arc::new(index)),
                Err(error) => {
                    tracing::warn!(%error, "the index of schemas cannot be read; what was read last, or built in, holds");
                    known.due = now.plus(PAUSE);
                }
            }
        });
        if waits && tokio::time::timeout(WAIT_MAX, reading).await.is_err() {
            tracing::warn!("the index of schemas was not read in time; what is built in holds until it is");
        }
    }
}

fn no_answer(after: Duration) -> Error {
    Error::Unavailable(format!("no answer in {} ms", after.as_millis()))
}

impl View<'_> {
    /// Whether an event names what is not listed, which may just have been published, or needs it.
    fn may_be_new(&self, event: &Event) -> bool {
        let named = event.data_schema().and_then(|urn| urn.parse::<SchemaId>().ok());
        let listed = event.kind().parse().ok().and_then(|kind| self.listed(&kind));
        match (listed, named) {
            (Some(listed), Some(id)) => {
                id.kind.as_str() == event.kind() && id.version as usize > listed.readable_from.len()
            }
            (None, Some(_)) => true,
            (None, None) => self.undeclared_types == Undeclared::Reject,
            (Some(_), None) => false,
        }
    }

    /// The type of an event as it is listed: by the registry, or else in the bundle.
    fn listed(&self, kind: &TypeName) -> Option<&Listed> {
        let published = self.index.as_ref().and_then(|index| index.types.get(kind));
        published.or_else(|| self.bundle.index.types.get(kind))
    }

    /// The schema that an event is to be judged by, and the first version that can read it; `None` if by none.
    fn wanted(&self, event: &Event) -> Result<Option<(SchemaId, u32)>, SchemaFault> {
        let undeclared = |what: Undeclared, fault: SchemaFault| match what {
            Undeclared::Reject => Err(fault),
            Undeclared::Pass => Ok(None),
        };
        let listed = event.kind().parse::<TypeName>().ok();
        let listed = listed.and_then(|kind| Some((self.listed(&kind)?, kind)));
        let Some((listed, kind)) = listed else {
            // who names a schema of here wants to be judged by it
            return match event.data_schema().and_then(|urn| urn.parse::<SchemaId>().ok()) {
                Some(id) => Err(SchemaFault::UnknownVersion { id, latest: 0 }),
                None => undeclared(self.undeclared_types, SchemaFault::UndeclaredType(event.kind().to_owned())),
            };
        };
        let latest = u32::try_from(listed.readable_from.len()).unwrap_or(u32::MAX);
        let undeclared_versions = listed.policy.undeclared_versions;
        let version = match event.data_schema() {
            None => latest,
            Some(urn) => match urn.parse::<SchemaId>() {
                Ok(id) if id.kind != kind => return Err(SchemaFault::OtherType { named: id.kind, kind }),
                Ok(id) => id.version,
                Err(_) if urn.starts_with(URN) => return Err(SchemaFault::NotAUrn(urn.to_owned())),
                // somebody else's registry
                Err(_) => return undeclared(undeclared_versions, SchemaFault::NotAUrn(urn.to_owned())),
            },
        };
        let readable_from = version.checked_sub(1).and_then(|at| listed.readable_from.get(usize::try_from(at).ok()?));
        match readable_from {
            Some(readable_from) => Ok(Some((SchemaId { kind, version }, *readable_from))),
            None => {
                undeclared(undeclared_versions, SchemaFault::UnknownVersion { id: SchemaId { kind, version }, latest })
            }
        }
    }

    /// Judges an event by its schema. `budget` is how many bytes of data faults may still be looked for in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, event: &Event, budget: &mut usize) -> Result<Option<Judged>, SchemaFault> {
        let Some((id, readable_from)) = self.wanted(event)? else { return Ok(None) };
        let Some(validator) = self.validators.get(&id) else { return Ok(None) };
        let raw = match event.data() {
            Some(Data::Json(raw)) => raw.get(),
            Some(Data::Binary(_)) => return Err(SchemaFault::NotJson(id)),
            None => return Err(SchemaFault::NoData(id)),
        };
        let data = match penstock_schema::json::parse(raw) {
            Ok(data) => data,
            Err(why) => return Err(SchemaFault::Unreadable { id, why }),
        };
        if validator.is_valid(&data) {
            return Ok(Some(Judged { version: id.version, readable_from }));
        }
        if raw.len() > *budget {
            return Err(SchemaFault::Invalid { id, violations: Vec::new() });
        }
        *budget -= raw.len();
        Err(SchemaFault::Invalid { violations: validator.violations(&data), id })
    }

    /// Where in the data of an event its type's policy has what order is kept by.
    pub fn partition_key(&self, event: &Event) -> Option<String> {
        let kind = event.kind().parse().ok()?;
        self.listed(&kind)?.policy.partition_key.clone()
    }
}

impl Registry for NoRegistry {
    async fn index(&self, _: bool) -> Result<Index, Error> {
        match *self {}
    }

    async fn versions(&self, _: &[SchemaId]) -> Result<Vec<Kept>, Error> {
        match *self {}
    }

    async fn publish(&self, _: &Index, _: &[Kept]) -> Result<Published, Error> {
        match *self {}
    }
}

#[cfg(test)]
impl View<'static> {
    /// Every event passes.
    pub(crate) fn none() -> Self {
        static NONE: std::sync::LazyLock<Bundle> = std::sync::LazyLock::new(Bundle::default);
        Self { index: None, bundle: &NONE, undeclared_types: Undeclared::Pass, validators: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests;
