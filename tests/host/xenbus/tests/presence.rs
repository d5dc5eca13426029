// SPDX-License-Identifier: GPL-2.0

//! Which devices there are.

use proptest::prelude::*;
use pure_xenbus::{
    presence::{
        change,
        is_device,
        is_name,
        may_write,
        step,
        Change,
        Known,
        Seen,
        Step,
        LONGEST, //
    },
    state::State, //
};

const STATES: [State; 9] = [
    State::Unknown,
    State::Initialising,
    State::InitWait,
    State::Initialised,
    State::Connected,
    State::Closing,
    State::Closed,
    State::Reconfiguring,
    State::Reconfigured,
];

#[test]
fn what_a_path_concerns() {
    let table = [
        (&b"device"[..], Change::All),
        (b"device/vbd", Change::Kind(b"vbd")),
        (b"device/vbd/51712", Change::Device(b"vbd", b"51712")),
        (b"device/vbd/51712/state", Change::Device(b"vbd", b"51712")),
        (b"device/vif/0/backend", Change::Device(b"vif", b"0")),
        (b"device/vif/0/backend-id", Change::Device(b"vif", b"0")),
        (b"device/vif/0/tx-ring-ref", Change::Nothing),
        (b"device/vif/0/queue-0/state", Change::Nothing),
        (b"device/vif/0/state/x", Change::Nothing),
        (b"device/console/0", Change::Nothing),
        (b"device/console/1", Change::Device(b"console", b"1")),
        (b"", Change::Nothing),
        (b"/", Change::Nothing),
        (b"devices", Change::Nothing),
        (b"/device/vbd/1", Change::Nothing),
        (b"control/shutdown", Change::Nothing),
        (b"device/", Change::Nothing),
        (b"device//0", Change::Nothing),
        (b"device/vbd/", Change::Nothing),
        (b"device/../vbd", Change::Nothing),
        (b"device/vbd/..", Change::Nothing),
        (b"device/v bd/0", Change::Nothing),
        (b"device/vbd/51712\0", Change::Nothing),
    ];
    for (path, expected) in table {
        assert_eq!(change(path), expected, "{}", path.escape_ascii());
    }
}

#[test]
fn names() {
    assert!(is_name(b"vbd") && is_name(b"51712") && is_name(b"a-b_c@d+e:f.g"));
    assert!(is_name(&[b'x'; LONGEST]) && !is_name(&[b'x'; LONGEST + 1]));
    assert!(!is_name(b"") && !is_name(b".") && !is_name(b"..") && !is_name(b"a/b"));
    assert!(is_device(b"console", b"1") && !is_device(b"console", b"0"));
}

#[test]
fn a_new_device_is_initialising() {
    for state in STATES {
        let seen = Some(Seen {
            state,
            same_otherend: true,
        });
        let expected = if state == State::Initialising {
            Step::Add
        } else {
            Step::Keep
        };
        assert_eq!(step(None, seen, false), expected);
        let expected = if state == State::Unknown {
            Step::Keep
        } else {
            Step::Add
        };
        assert_eq!(step(None, seen, true), expected);
    }
    assert_eq!(step(None, None, true), Step::Keep);
}

#[test]
fn a_known_device_stays_unless_it_is_gone_or_was_set_back() {
    for ours in STATES {
        let known = Some(Known { state: ours });
        assert_eq!(step(known, None, false), Step::Remove);
        for theirs in STATES {
            for same_otherend in [false, true] {
                let seen = Some(Seen {
                    state: theirs,
                    same_otherend,
                });
                let set_back = theirs == State::Initialising
                    && (ours != State::Initialising || !same_otherend);
                let expected = if set_back { Step::Replace } else { Step::Keep };
                assert_eq!(step(known, seen, false), expected, "{ours:?} {theirs:?}");
            }
        }
    }
}

#[test]
fn our_state_is_written_only_where_it_is_ours() {
    for known in STATES {
        assert!(!may_write(known, None), "makes the folder of a device anew");
        for seen in STATES {
            let set_back = seen == State::Initialising && known != State::Initialising;
            assert_eq!(
                may_write(known, Some(seen)),
                !set_back,
                "{known:?} {seen:?}"
            );
        }
    }
}

/// What may not be written over is taken for another device, so nobody is left with a device that is not theirs.
#[test]
fn a_state_that_is_not_ours_replaces_the_device() {
    for known in STATES {
        for seen in STATES {
            let step = step(
                Some(Known { state: known }),
                Some(Seen {
                    state: seen,
                    same_otherend: true,
                }),
                false,
            );
            assert_eq!(
                step == Step::Keep,
                may_write(known, Some(seen)),
                "{known:?} {seen:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_path(path in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Change::Device(kind, id) = change(&path) {
            prop_assert!(is_device(kind, id));
        }
    }

    #[test]
    fn any_path_of_parts(parts in proptest::collection::vec("device|state|backend|[a-z0-9./-]{0,33}", 0..6)) {
        let path = parts.join("/");
        match change(path.as_bytes()) {
            Change::All => prop_assert_eq!(path, "device"),
            Change::Kind(kind) => prop_assert!(is_name(kind)),
            Change::Device(kind, id) => {
                let start = [&b"device/"[..], kind, b"/", id].concat();
                prop_assert!(path.as_bytes().starts_with(&start));
            }
            Change::Nothing => {}
        }
    }
}
