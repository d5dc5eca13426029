// SPDX-License-Identifier: GPL-2.0

//! The fuzz target's corpus, and random changes of it, with any compiler. This is no replacement for the fuzzer, which
//! finds its way by what code is reached; see tests/fuzz.

#[path = "../../../fuzz/xenstore.rs"]
mod xenstore;

use proptest::prelude::*;
use std::{
    fs,
    path::Path, //
};

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/xenstore");
    let files = fs::read_dir(folder).expect("the corpus is there");
    let mut all: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    all.sort();
    all.iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

#[test]
fn the_corpus_finds_nothing() {
    let corpus = corpus();
    assert!(corpus.len() >= 10);
    corpus.iter().for_each(|data| xenstore::run(data));
}

/// A change at a place, given as a part of the length.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        at().prop_map(Change::Remove),
        (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn changes_of_the_corpus_find_nothing(
        seed in prop::sample::select(corpus()),
        changes in prop::collection::vec(change(), 0..8),
    ) {
        let mut data = seed;
        for change in changes {
            match change {
                Change::Set(at, byte) if !data.is_empty() => {
                    let at = at.index(data.len());
                    data[at] = byte;
                }
                Change::Remove(at) if !data.is_empty() => {
                    data.remove(at.index(data.len()));
                }
                Change::Insert(at, bytes) => {
                    let at = at.index(data.len() + 1);
                    data.splice(at..at, bytes);
                }
                _ => {}
            }
        }
        xenstore::run(&data);
    }

    #[test]
    fn random_bytes_find_nothing(data in prop::collection::vec(any::<u8>(), 0..600)) {
        xenstore::run(&data);
    }
}
