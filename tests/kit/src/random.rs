//! Pseudo-random numbers from a printed seed (SplitMix64), so that a failed run can be played again.

/// A generator. The seed is printed when it is made.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// From `ROWFERRY_SEED`, or from the clock. Prints the seed.
    pub fn new() -> Self {
        let given = std::env::var("ROWFERRY_SEED")
            .ok()
            .map(|text| text.parse().expect("ROWFERRY_SEED is a number"));
        let clock = || {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            u64::from(now.subsec_nanos()) << 20 ^ now.as_secs()
        };
        let seed = given.unwrap_or_else(clock);
        println!("seed: ROWFERRY_SEED={seed}");
        Self { state: seed }
    }

    /// From that seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own, for another task: its numbers do not depend on how fast tasks go.
    pub fn fork(&mut self) -> Self {
        Self { state: self.bits() }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Text of up to `longest` characters: plain, accented, CJK, 4-byte, quotes, backslashes, blanks at the ends.
    pub fn text(&mut self, longest: u64) -> String {
        const ALPHABET: &[char] = &[
            'a', 'Z', '0', ' ', '\'', '"', '\\', '%', '_', '\n', '\t', 'é', 'ß', 'Ж', '中', '😀',
            '𝄞', ';', '`', '{',
        ];
        let length = self.below(longest + 1);
        (0..length).map(|_| *self.pick(ALPHABET)).collect()
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
