//! Which slot a task gets, and which task moves: so that workers have equal numbers of tasks after a
//! change of the workers, then so that they are equally busy, and so that a drained one has none. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::SLOTS_DEFAULT;

/// A task of a connector, or the connector itself.
pub(super) type Movable = (Arc<str>, Option<u32>);

/// A part that moves, and to which slot.
pub(super) type Move = (Movable, u16);

/// Workers whose loads differ by less are equally busy. A load is the number of busy processors,
/// divided by the number of processors.
const EQUAL: f64 = 0.25;

/// A move has to bring two workers nearer to each other by more than this.
const GAIN: f64 = 0.1;

/// A part with its slot, and how busy it is: 1 if it always works.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) part: Movable,
    pub(super) slot: u16,
    pub(super) work: f64,
    /// The worker that ran it before the present one.
    pub(super) former: Option<Arc<str>>,
}

/// What a worker has.
#[derive(Clone, Copy, Debug)]
struct Share {
    tasks: usize,
    work: f64,
    /// Number of processors.
    power: f64,
}

impl Share {
    fn load(&self) -> f64 {
        self.with(0.0)
    }

    /// Returns the load with that much more work, or less.
    fn with(&self, more: f64) -> f64 {
        (self.work + more) / self.power
    }

    /// Returns how far two workers are from each other once that work has moved from the first.
    fn apart(&self, other: &Self, work: f64) -> f64 {
        (self.with(-work) - other.with(work)).abs()
    }
}

/// The workers that may get tasks, with their slots and what lies in them.
pub(super) struct Placement<'a> {
    owners: &'a BTreeMap<u16, Arc<str>>,
    by_slot: BTreeMap<u16, usize>,
    shares: BTreeMap<&'a Arc<str>, Share>,
}

impl<'a> Placement<'a> {
    /// Creates it from the owners of slots, what lies in each slot, and the number of processors of
    /// each worker.
    pub(super) fn new(
        owners: &'a BTreeMap<u16, Arc<str>>,
        placed: impl Iterator<Item = (u16, f64)>,
        power: impl Fn(&str) -> f64,
    ) -> Self {
        let mut shares: BTreeMap<&Arc<str>, Share> = BTreeMap::new();
        for worker in owners.values() {
            shares.entry(worker).or_insert_with(|| Share {
                tasks: 0,
                work: 0.0,
                power: power(worker).max(1.0),
            });
        }
        let mut by_slot = BTreeMap::new();
        for (slot, work) in placed {
            *by_slot.entry(slot).or_insert(0) += 1;
            if let Some(share) = owners.get(&slot).and_then(|owner| shares.get_mut(owner)) {
                share.tasks += 1;
                share.work += work;
            }
        }
        Self {
            owners,
            by_slot,
            shares,
        }
    }

    /// Returns the slot for one more task: the least used slot of the least busy worker, or of the
    /// one with the fewest tasks if several are equally busy.
    pub(super) fn free_slot(&self) -> u16 {
        let least = self.shares.values().map(Share::load).min_by(f64::total_cmp);
        let is_idle = |share: &Share| least.is_some_and(|least| share.load() < least + EQUAL);
        let idle = self.shares.iter().filter(|(_, share)| is_idle(share));
        let Some((worker, _)) = idle.min_by_key(|(_, share)| share.tasks) else {
            // No worker is known: spread over all slots.
            let all = 0..SLOTS_DEFAULT;
            return all
                .min_by_key(|slot| self.use_of(*slot))
                .unwrap_or_default();
        };
        self.least_used(worker).unwrap_or_default()
    }

    /// Returns the next move that makes numbers of tasks more equal; none if no two workers differ by
    /// more than one. A worker that is busy does not get a task for that, if `minds_work`.
    pub(super) fn next_by_count(&self, tasks: &[Placed], minds_work: bool) -> Option<Move> {
        let mut workers: Vec<_> = self.shares.iter().collect();
        workers.sort_by_key(|(_, share)| share.tasks);
        for (from, most) in workers.iter().rev() {
            for (to, least) in &workers {
                if most.tasks < least.tasks + 2 {
                    break;
                }
                let fits = |task: &&Placed| {
                    !minds_work || least.with(task.work) <= most.with(-task.work) + EQUAL
                };
                let movable = self.of(tasks, from).filter(fits);
                // What a change of slots has taken from a worker goes back to it.
                let rank = |task: &Placed| task.former.as_ref() == Some(to);
                let best = movable.max_by(|one, other| {
                    let by_rank = rank(one).cmp(&rank(other));
                    by_rank.then_with(|| one.part.cmp(&other.part))
                });
                if let Some(task) = best {
                    return self.moved(task, to);
                }
            }
        }
        None
    }

    /// Returns the next move that makes workers more equally busy; none if they are, or if no task is
    /// small enough. Only tasks that `may_move` do.
    pub(super) fn next_by_work(
        &self,
        tasks: &[Placed],
        may_move: impl Fn(&Movable) -> bool,
    ) -> Option<Move> {
        let by_load =
            |one: &Share, other: &Share| -> Ordering { one.load().total_cmp(&other.load()) };
        let mut workers: Vec<_> = self.shares.iter().collect();
        workers.sort_by(|(_, one), (_, other)| by_load(one, other));
        let (to, least) = *workers.first()?;
        for (from, most) in workers.iter().rev() {
            let apart = most.load() - least.load();
            if apart <= EQUAL {
                return None;
            }
            let helps = |task: &&Placed| apart - most.apart(least, task.work) > GAIN;
            let movable = self.of(tasks, from).filter(|task| may_move(&task.part));
            let best = movable.filter(helps).min_by(|one, other| {
                let (one_apart, other_apart) =
                    (most.apart(least, one.work), most.apart(least, other.work));
                one_apart
                    .total_cmp(&other_apart)
                    .then_with(|| one.part.cmp(&other.part))
            });
            if let Some(task) = best {
                return self.moved(task, to);
            }
        }
        None
    }

    /// Returns the tasks of a worker.
    fn of<'t>(&self, tasks: &'t [Placed], worker: &str) -> impl Iterator<Item = &'t Placed> {
        let is_there = |slot: u16| self.owners.get(&slot).is_some_and(|one| **one == *worker);
        tasks.iter().filter(move |task| is_there(task.slot))
    }

    fn moved(&self, task: &Placed, to: &Arc<str>) -> Option<Move> {
        Some((task.part.clone(), self.least_used(to)?))
    }

    fn least_used(&self, worker: &Arc<str>) -> Option<u16> {
        let of_worker = self.owners.iter().filter(|(_, owner)| *owner == worker);
        let slots = of_worker.map(|(slot, _)| *slot);
        slots.min_by_key(|slot| self.use_of(*slot))
    }

    /// Orders slots: the least used first. Those of equal use are taken in steps of 37, so that they
    /// lie in both halves and among odd and even ones: whichever slots a new worker gets, it gets about
    /// its share of the tasks.
    fn use_of(&self, slot: u16) -> (usize, u16) {
        // 45 is the inverse of 37 modulo 64.
        let turn = slot.wrapping_mul(45) % SLOTS_DEFAULT;
        (self.by_slot.get(&slot).copied().unwrap_or_default(), turn)
    }
}

/// Returns the next part that leaves a slot of `owners` that is not open any more. Tasks go first, so
/// that the worker that plans a connector stays the same meanwhile.
pub(super) fn next_drain(
    owners: &BTreeMap<u16, Arc<str>>,
    open: &BTreeMap<u16, Arc<str>>,
    placed: impl Iterator<Item = (Movable, u16)>,
) -> Option<Movable> {
    let is_closed = |slot: &u16| owners.contains_key(slot) && !open.contains_key(slot);
    placed
        .filter(|(_, slot)| is_closed(slot))
        .map(|(part, _)| part)
        .max_by(|(_, one), (_, other)| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Movable, Placed, Placement, next_drain};

    fn owners(workers: &[&str], slots: u16) -> BTreeMap<u16, Arc<str>> {
        (0..slots)
            .map(|slot| {
                let at = usize::from(slot) % workers.len();
                (slot, Arc::from(workers[at]))
            })
            .collect()
    }

    fn placement<'a>(owners: &'a BTreeMap<u16, Arc<str>>, placed: &[Placed]) -> Placement<'a> {
        let placed = placed.iter().map(|one| (one.slot, one.work));
        Placement::new(owners, placed, |_| 1.0)
    }

    fn task(number: u32, slot: u16, work: f64) -> Placed {
        Placed {
            part: (Arc::from("c"), Some(number)),
            slot,
            work,
            former: None,
        }
    }

    fn place(placed: &mut [Placed], (part, to): (Movable, u16)) {
        let at = placed.iter_mut().find(|one| one.part == part).unwrap();
        at.slot = to;
    }

    /// Numbers of tasks and loads of the workers, in their order.
    fn shares(owners: &BTreeMap<u16, Arc<str>>, placed: &[Placed]) -> Vec<(usize, f64)> {
        let placement = placement(owners, placed);
        let shares = placement.shares.values();
        shares.map(|share| (share.tasks, share.load())).collect()
    }

    #[test]
    fn new_tasks_spread_over_the_workers_and_their_slots() {
        let owners = owners(&["a", "b", "c"], 12);
        let mut used = Vec::new();
        for number in 0..12 {
            let slot = placement(&owners, &used).free_slot();
            used.push(task(number, slot, 0.0));
        }
        for (count, _) in shares(&owners, &used) {
            assert_eq!(count, 4, "{used:?}");
        }
        let mut slots: Vec<u16> = used.iter().map(|one| one.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(
            slots.len(),
            12,
            "no slot is used twice while others are free"
        );
    }

    #[test]
    fn a_new_task_goes_to_the_least_busy_worker_although_it_has_more_tasks() {
        let owners = owners(&["a", "b"], 4);
        let mut placed = vec![task(0, 0, 0.9)];
        placed.extend((1..4).map(|number| task(number, 1, 0.05)));
        let slot = placement(&owners, &placed).free_slot();
        assert_eq!(&*owners[&slot], "b");
        // Little differences do not count.
        placed[0].work = 0.3;
        let slot = placement(&owners, &placed).free_slot();
        assert_eq!(&*owners[&slot], "a");
    }

    #[test]
    fn without_known_workers_the_slots_are_used_evenly() {
        let nobody = BTreeMap::new();
        let mut used = Vec::new();
        for number in 0..64 {
            let slot = placement(&nobody, &used).free_slot();
            used.push(task(number, slot, 0.0));
        }
        let mut slots: Vec<u16> = used.iter().map(|one| one.slot).collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..64).collect::<Vec<u16>>());
    }

    #[test]
    fn all_parts_leave_a_drained_worker_tasks_first() {
        let owners = owners(&["a", "b", "c"], 12);
        let open: BTreeMap<u16, Arc<str>> = owners
            .iter()
            .filter(|(_, worker)| &***worker != "a")
            .map(|(slot, worker)| (*slot, Arc::clone(worker)))
            .collect();
        let mut placed: Vec<Placed> = (0..8)
            .map(|number| task(number, 3 * (number as u16 % 4), 0.0))
            .collect();
        placed.push(Placed {
            part: (Arc::from("c"), None),
            slot: 0,
            work: 0.0,
            former: None,
        });
        let mut moved = Vec::new();
        loop {
            let parts = placed.iter().map(|one| (one.part.clone(), one.slot));
            let Some(part) = next_drain(&owners, &open, parts) else {
                break;
            };
            let to = placement(&open, &placed).free_slot();
            moved.push(part.1);
            place(&mut placed, (part, to));
            assert!(moved.len() < 20, "the moves do not end");
        }
        assert_eq!((moved.len(), moved.last()), (9, Some(&None)));
        let mut counts: Vec<usize> = shares(&open, &placed).iter().map(|share| share.0).collect();
        counts.sort_unstable();
        assert_eq!(counts, [4, 5], "{placed:?}");
    }

    #[test]
    fn moves_end_when_the_workers_differ_by_one_task_at_most() {
        let owners = owners(&["a", "b", "c"], 9);
        // All tasks lie in one slot, as those of a store that was moved.
        let mut placed: Vec<Placed> = (0..10).map(|number| task(number, 0, 0.0)).collect();
        let mut moves = 0;
        while let Some(next) = placement(&owners, &placed).next_by_count(&placed, true) {
            place(&mut placed, next);
            moves += 1;
            assert!(moves < 20, "the moves do not end");
        }
        let mut counts: Vec<usize> = shares(&owners, &placed).iter().map(|one| one.0).collect();
        counts.sort_unstable();
        assert_eq!((counts, moves), (vec![3, 3, 4], 6));
    }

    #[test]
    fn tasks_go_back_to_the_worker_that_ran_them_before() {
        let owners = owners(&["a", "b"], 2);
        let mut placed: Vec<Placed> = (0..4).map(|number| task(number, 0, 0.0)).collect();
        for number in [0, 2] {
            placed[number].former = Some(Arc::from("b"));
        }
        while let Some(next) = placement(&owners, &placed).next_by_count(&placed, true) {
            place(&mut placed, next);
        }
        let slots: Vec<u16> = placed.iter().map(|one| one.slot).collect();
        assert_eq!(slots, [1, 0, 1, 0]);
    }

    #[test]
    fn a_busy_worker_gets_no_task_only_because_it_has_fewer() {
        let owners = owners(&["a", "b"], 2);
        let mut placed = vec![task(0, 0, 0.9)];
        placed.extend((1..7).map(|number| task(number, 1, 0.1)));
        let next = placement(&owners, &placed).next_by_count(&placed, true);
        assert_eq!(next, None);
        let next = placement(&owners, &placed).next_by_count(&placed, false);
        assert!(next.is_some());
    }

    #[test]
    fn moves_for_work_end_near_the_best_that_is_possible_for_any_loads() {
        let mut random = testkit::Random::new();
        for _ in 0..2000 {
            let (workers, tasks) = (2 + random.below(3), 1 + random.below(20));
            let names = ["a", "b", "c", "d"];
            let count = usize::try_from(workers).unwrap();
            let owners = owners(&names[..count], 16);
            let mut placed: Vec<Placed> = (0..tasks)
                .map(|number| {
                    let slot = u16::try_from(random.below(16)).unwrap();
                    let work = crate::metrics::as_f64(random.below(100)) / 100.0;
                    task(u32::try_from(number).unwrap(), slot, work)
                })
                .collect();
            let mut moves = 0;
            while let Some(next) = placement(&owners, &placed).next_by_work(&placed, |_| true) {
                place(&mut placed, next);
                moves += 1;
                assert!(moves < 60, "the moves do not end: {placed:?}");
            }
            let loads = shares(&owners, &placed);
            let least = loads.iter().map(|one| one.1).fold(f64::INFINITY, f64::min);
            let most = loads.iter().map(|one| one.1).fold(0.0, f64::max);
            // One task is more than can be divided, or what is left are many that do nearly nothing.
            assert!(most - least <= 1.05, "{loads:?} of {placed:?}");
        }
    }

    #[test]
    fn eight_tasks_of_very_different_work_are_spread_by_work() {
        let owners = owners(&["a", "b", "c"], 9);
        let work = [0.8, 0.4, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1];
        let mut placed: Vec<Placed> = (0..)
            .zip(work)
            .map(|(number, work)| task(number, number as u16, work))
            .collect();
        // The heaviest ones lie on one worker.
        for one in &mut placed[..3] {
            one.slot = 0;
        }
        while let Some(next) = placement(&owners, &placed).next_by_work(&placed, |_| true) {
            place(&mut placed, next);
        }
        let loads = shares(&owners, &placed);
        let most = loads.iter().map(|one| one.1).fold(0.0, f64::max);
        assert!(most <= 0.8 + 1e-9, "{loads:?}");
    }
}
