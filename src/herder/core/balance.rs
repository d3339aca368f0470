//! Which slot a task gets, and which task moves, so that workers have equal numbers of tasks, and a
//! drained one has none. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::SLOTS_DEFAULT;

/// A task of a connector, or the connector itself.
pub(super) type Movable = (Arc<str>, Option<u32>);

/// Returns the slot for one more task: the least used slot of the worker with the fewest tasks.
pub(super) fn free_slot(owners: &BTreeMap<u16, Arc<str>>, used: impl Iterator<Item = u16>) -> u16 {
    let by_slot = count(used);
    let Some(worker) = fewest(&by_worker(owners, &by_slot)) else {
        // No worker is known: spread over all slots.
        let all = 0..SLOTS_DEFAULT;
        return all
            .min_by_key(|slot| use_of(&by_slot, *slot))
            .unwrap_or_default();
    };
    least_used(owners, &by_slot, &worker).unwrap_or_default()
}

/// Returns the next move: which task, from which slot, to which. None if no two workers differ by
/// more than one task.
pub(super) fn next_move<T: Ord>(
    owners: &BTreeMap<u16, Arc<str>>,
    placed: impl Iterator<Item = (T, u16)>,
) -> Option<(T, u16, u16)> {
    let mut placed: Vec<(T, u16)> = placed.collect();
    let by_slot = count(placed.iter().map(|(_, slot)| *slot));
    let by_worker = by_worker(owners, &by_slot);
    let (from, most) = by_worker.iter().max_by_key(|(_, tasks)| **tasks)?;
    let to = fewest(&by_worker)?;
    if *most < by_worker.get(&to)?.saturating_add(2) {
        return None;
    }
    let target = least_used(owners, &by_slot, &to)?;
    placed.retain(|(_, slot)| owners.get(slot) == Some(from));
    let (task, slot) = placed.into_iter().max()?;
    Some((task, slot, target))
}

/// Returns the next move of a part out of a slot that is not open, to the worker with the fewest
/// tasks: which part, from which slot, to which. Tasks go first, so that the worker that plans a
/// connector stays the same meanwhile.
pub(super) fn next_drain(
    owners: &BTreeMap<u16, Arc<str>>,
    open: &BTreeMap<u16, Arc<str>>,
    placed: Vec<(Movable, u16)>,
) -> Option<(Movable, u16, u16)> {
    let tasks = placed.iter().filter(|((_, task), _)| task.is_some());
    let target = free_slot(open, tasks.map(|(_, slot)| *slot));
    let is_closed = |slot: &u16| owners.contains_key(slot) && !open.contains_key(slot);
    let (part, slot) = placed
        .into_iter()
        .filter(|(_, slot)| is_closed(slot))
        .max_by(|((_, one), _), ((_, other), _)| one.cmp(other))?;
    Some((part, slot, target))
}

fn count(slots: impl Iterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut by_slot = BTreeMap::new();
    for slot in slots {
        *by_slot.entry(slot).or_insert(0) += 1;
    }
    by_slot
}

fn by_worker(
    owners: &BTreeMap<u16, Arc<str>>,
    by_slot: &BTreeMap<u16, usize>,
) -> BTreeMap<Arc<str>, usize> {
    let mut by_worker = BTreeMap::new();
    for (slot, worker) in owners {
        *by_worker.entry(Arc::clone(worker)).or_insert(0) +=
            by_slot.get(slot).copied().unwrap_or_default();
    }
    by_worker
}

fn fewest(by_worker: &BTreeMap<Arc<str>, usize>) -> Option<Arc<str>> {
    let (worker, _) = by_worker.iter().min_by_key(|(_, tasks)| **tasks)?;
    Some(Arc::clone(worker))
}

fn least_used(
    owners: &BTreeMap<u16, Arc<str>>,
    by_slot: &BTreeMap<u16, usize>,
    worker: &Arc<str>,
) -> Option<u16> {
    owners
        .iter()
        .filter(|(_, owner)| *owner == worker)
        .map(|(slot, _)| *slot)
        .min_by_key(|slot| use_of(by_slot, *slot))
}

/// Orders slots: the least used first. Those of equal use are taken in steps of 37, so that they lie
/// in both halves and among odd and even ones: whichever slots a new worker gets, it gets about its
/// share of the tasks.
fn use_of(by_slot: &BTreeMap<u16, usize>, slot: u16) -> (usize, u16) {
    // 45 is the inverse of 37 modulo 64.
    let turn = slot.wrapping_mul(45) % SLOTS_DEFAULT;
    (by_slot.get(&slot).copied().unwrap_or_default(), turn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Movable, free_slot, next_drain, next_move};

    fn owners(workers: &[&str], slots: u16) -> BTreeMap<u16, Arc<str>> {
        (0..slots)
            .map(|slot| {
                let at = usize::from(slot) % workers.len();
                (slot, Arc::from(workers[at]))
            })
            .collect()
    }

    #[test]
    fn new_tasks_spread_over_the_workers_and_their_slots() {
        let owners = owners(&["a", "b", "c"], 12);
        let mut used = Vec::new();
        for _ in 0..12 {
            used.push(free_slot(&owners, used.iter().copied()));
        }
        for worker in ["a", "b", "c"] {
            let count = used.iter().filter(|slot| &*owners[slot] == worker).count();
            assert_eq!(count, 4, "{used:?}");
        }
        used.sort_unstable();
        used.dedup();
        assert_eq!(
            used.len(),
            12,
            "no slot is used twice while others are free"
        );
    }

    #[test]
    fn without_known_workers_the_slots_are_used_evenly() {
        let nobody = BTreeMap::new();
        let mut used = Vec::new();
        for _ in 0..64 {
            used.push(free_slot(&nobody, used.iter().copied()));
        }
        used.sort_unstable();
        assert_eq!(used, (0..64).collect::<Vec<u16>>());
    }

    #[test]
    fn all_parts_leave_a_drained_worker_tasks_first_and_evenly() {
        let owners = owners(&["a", "b", "c"], 12);
        let open: BTreeMap<u16, Arc<str>> = owners
            .iter()
            .filter(|(_, worker)| &***worker != "a")
            .map(|(slot, worker)| (*slot, Arc::clone(worker)))
            .collect();
        let part = |task| (Arc::from("connector"), task);
        let mut placed: Vec<(Movable, u16)> = (0..8)
            .map(|task| (part(Some(task)), 3 * (task as u16 % 4)))
            .collect();
        placed.push((part(None), 0));
        let mut moved = Vec::new();
        while let Some((one, from, to)) = next_drain(&owners, &open, placed.clone()) {
            assert_eq!((&*owners[&from], open.contains_key(&to)), ("a", true));
            let at = placed
                .iter()
                .position(|known| *known == (one.clone(), from));
            placed[at.unwrap()].1 = to;
            moved.push(one.1);
            assert!(moved.len() < 20, "the moves do not end");
        }
        assert_eq!((moved.len(), moved.last()), (9, Some(&None)));
        let of_b = placed
            .iter()
            .filter(|((_, task), slot)| task.is_some() && &*owners[slot] == "b");
        assert_eq!(of_b.count(), 4, "{placed:?}");
    }

    #[test]
    fn moves_end_when_the_workers_differ_by_one_task_at_most() {
        let owners = owners(&["a", "b", "c"], 9);
        // All tasks lie in one slot, as those of a store that was moved.
        let mut placed: Vec<(u32, u16)> = (0..10).map(|task| (task, 0)).collect();
        let mut moves = 0;
        while let Some((task, from, to)) = next_move(&owners, placed.iter().copied()) {
            let at = placed.iter().position(|one| *one == (task, from)).unwrap();
            placed[at].1 = to;
            moves += 1;
            assert!(moves < 20, "the moves do not end");
        }
        let count = |worker| {
            let of = placed.iter().filter(|(_, slot)| &*owners[slot] == worker);
            of.count()
        };
        let mut counts = ["a", "b", "c"].map(count);
        counts.sort_unstable();
        assert_eq!((counts, moves), ([3, 3, 4], 6));
    }
}
