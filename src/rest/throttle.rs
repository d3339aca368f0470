//! Slows down wrong passwords and tokens, by client address and by user. Pure: the caller passes
//! the time. Its memory is limited.
//!
//! Each attempt takes a token from every bucket that it belongs to, and returns it if the
//! credentials were right, so that concurrent attempts count as well.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::gate::network;

/// The capacity of a bucket in attempts, and the time until one more is allowed.
#[derive(Clone, Copy, Debug)]
struct AttemptRate {
    burst: u32,
    refill: Duration,
}

/// For one user from one address: ten a minute, after the first ten.
const OF_A_PAIR: AttemptRate = AttemptRate {
    burst: 10,
    refill: Duration::from_secs(6),
};
/// For all users from one address, which many people may share.
const OF_AN_ADDRESS: AttemptRate = AttemptRate {
    burst: 50,
    refill: Duration::from_secs(1),
};
/// For one user from all addresses.
const OF_A_USER: AttemptRate = AttemptRate {
    burst: 100,
    refill: Duration::from_secs(1),
};
/// Maximum number of buckets that are not full; the fullest is dropped for the next one.
const BUCKETS_MAX: usize = 10_000;

/// A digest, so that names of any length take the same memory.
type NameDigest = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BucketKey {
    Pair(IpAddr, NameDigest),
    Address(IpAddr),
    User(NameDigest),
}

impl BucketKey {
    fn rate(self) -> AttemptRate {
        match self {
            Self::Pair(..) => OF_A_PAIR,
            Self::Address(_) => OF_AN_ADDRESS,
            Self::User(_) => OF_A_USER,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct AttemptBucket {
    /// When the bucket will be full again. Until then it lacks the tokens that would arrive in the
    /// remaining time.
    full: Instant,
    /// A refusal was reported since the last accepted attempt.
    reported: bool,
}

/// The buckets that are not full.
#[derive(Debug, Default)]
pub(super) struct LoginThrottle {
    buckets: HashMap<BucketKey, AttemptBucket>,
}

/// An attempt in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoginAttempt {
    keys: [Option<BucketKey>; 3],
}

/// Too many attempts have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// When the next attempt is allowed.
    pub(super) after: Duration,
    /// True for the first refusal since an accepted attempt, which is logged.
    pub(super) first: bool,
}

impl LoginThrottle {
    /// Starts an attempt from that address as that user, or with a token, which names no user.
    /// Errors: it is not allowed yet.
    pub(super) fn attempt(
        &mut self,
        from: IpAddr,
        user: Option<&str>,
        now: Instant,
    ) -> Result<LoginAttempt, TooMany> {
        let from = network(from);
        let keys = match user.map(|user| NameDigest::from(Sha256::digest(user.as_bytes()))) {
            Some(user) => [
                Some(BucketKey::Pair(from, user)),
                Some(BucketKey::Address(from)),
                Some(BucketKey::User(user)),
            ],
            None => [Some(BucketKey::Address(from)), None, None],
        };
        for key in keys.into_iter().flatten() {
            let AttemptRate { burst, refill } = key.rate();
            let Some(bucket) = self.buckets.get_mut(&key) else {
                continue;
            };
            let needs = bucket.full.saturating_duration_since(now) + refill;
            if let Some(after) = needs
                .checked_sub(refill * burst)
                .filter(|after| !after.is_zero())
            {
                return Err(TooMany {
                    after,
                    first: !std::mem::replace(&mut bucket.reported, true),
                });
            }
        }
        for key in keys.into_iter().flatten() {
            self.take(key, now);
        }
        Ok(LoginAttempt { keys })
    }

    /// Ends an attempt that was right or was not checked: it does not count.
    pub(super) fn give_back(&mut self, attempt: LoginAttempt) {
        for key in attempt.keys.into_iter().flatten() {
            if let Some(bucket) = self.buckets.get_mut(&key)
                && let Some(before) = bucket.full.checked_sub(key.rate().refill)
            {
                bucket.full = before;
            }
        }
    }

    fn take(&mut self, key: BucketKey, now: Instant) {
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| bucket.full > now);
            if self.buckets.len() >= BUCKETS_MAX
                && let Some(fullest) = self
                    .buckets
                    .iter()
                    .min_by_key(|(_, bucket)| bucket.full)
                    .map(|(key, _)| *key)
            {
                self.buckets.remove(&fullest);
            }
        }
        let bucket = self.buckets.entry(key).or_insert(AttemptBucket {
            full: now,
            reported: false,
        });
        *bucket = AttemptBucket {
            full: bucket.full.max(now) + key.rate().refill,
            reported: false,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    use super::{BUCKETS_MAX, LoginThrottle, OF_A_PAIR, OF_A_USER, OF_AN_ADDRESS};

    fn at(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    /// Returns how many of that number of concurrent attempts are allowed.
    fn made(throttle: &mut LoginThrottle, from: u32, user: Option<&str>, now: Instant) -> u32 {
        (0..1000)
            .filter(|_| throttle.attempt(at(from), user, now).is_ok())
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn wrong_attempts_run_out_by_user_and_by_address_and_come_again_with_time() {
        let (mut throttle, now) = (LoginThrottle::default(), Instant::now());
        assert_eq!(made(&mut throttle, 1, Some("ann"), now), OF_A_PAIR.burst);
        assert_eq!(
            made(&mut throttle, 1, Some("bob"), now),
            OF_A_PAIR.burst,
            "another user is not held up"
        );
        assert_eq!(
            made(&mut throttle, 2, Some("ann"), now),
            OF_A_PAIR.burst,
            "nor the same one from elsewhere"
        );
        assert_eq!(
            made(&mut throttle, 1, None, now),
            OF_AN_ADDRESS.burst - 2 * OF_A_PAIR.burst
        );
        let refused = throttle.attempt(at(1), Some("eve"), now).unwrap_err();
        assert_eq!(refused.after, OF_AN_ADDRESS.refill);
        assert!(!refused.first && made(&mut throttle, 3, None, now) == OF_AN_ADDRESS.burst);
        let later = now + OF_A_PAIR.refill;
        assert_eq!(made(&mut throttle, 2, Some("ann"), later), 1);
        assert!(
            throttle
                .attempt(at(2), Some("ann"), later)
                .is_err_and(|refused| !refused.first)
        );
        let everywhere: u32 = (10..100)
            .map(|from| made(&mut throttle, from, Some("zoe"), now))
            .sum();
        assert_eq!(everywhere, OF_A_USER.burst);
    }

    #[test]
    fn right_attempts_cost_nothing_and_the_first_refusal_is_reported() {
        let (mut throttle, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..1000 {
            let attempt = throttle.attempt(at(1), Some("ann"), now).unwrap();
            throttle.give_back(attempt);
        }
        assert_eq!(made(&mut throttle, 1, Some("ann"), now), OF_A_PAIR.burst);
        let mut throttle = LoginThrottle::default();
        for _ in 0..OF_A_PAIR.burst {
            throttle.attempt(at(1), Some("ann"), now).unwrap();
        }
        let first = |throttle: &mut LoginThrottle| {
            throttle.attempt(at(1), Some("ann"), now).unwrap_err().first
        };
        assert!(first(&mut throttle) && !first(&mut throttle));
    }

    #[test]
    fn the_memory_of_attempts_has_a_bound() {
        let (mut throttle, now) = (LoginThrottle::default(), Instant::now());
        for n in 0..30_000 {
            let _ = throttle.attempt(at(n), Some(&format!("user{n}")), now);
        }
        assert!(throttle.buckets.len() <= BUCKETS_MAX);
        assert!(
            throttle
                .attempt(at(1), None, now + Duration::from_secs(3600))
                .is_ok()
        );
    }
}
