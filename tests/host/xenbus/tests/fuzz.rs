// SPDX-License-Identifier: GPL-2.0

//! The fuzz target's corpus, and random changes of it, with any compiler. This is no replacement for the fuzzer, which
//! finds its way by what code is reached; see tests/fuzz.

#[path = "../../../fuzz/xenstore.rs"]
mod xenstore;

use proptest::{
    prelude::*,
    test_runner::TestRunner, //
};
use std::{
    cell::Cell,
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

/// Ten times as many cases as other properties have: what is run takes microseconds. Set here, because in `proptest!` what
/// `PROPTEST_CASES` says wins over everything.
fn find_nothing<S: Strategy>(inputs: S, run: impl Fn(S::Value)) {
    let config = ProptestConfig::default();
    let cases = config.cases.saturating_mul(10);
    let mut runner = TestRunner::new(ProptestConfig { cases, ..config });
    let tried = Cell::new(0);
    let result = runner.run(&inputs, |input| {
        tried.set(tried.get() + 1);
        run(input);
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
    assert!(tried.get() >= cases);
}

#[test]
fn changes_of_the_corpus_find_nothing() {
    let seed = prop::sample::select(corpus());
    let changes = prop::collection::vec(change(), 0..8);
    find_nothing((seed, changes), |(mut data, changes)| {
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
    });
}

#[test]
fn random_bytes_find_nothing() {
    let data = prop::collection::vec(any::<u8>(), 0..600);
    find_nothing(data, |data| xenstore::run(&data));
}
