# SPDX-License-Identifier: GPL-2.0
"""Devices that come and go many times: dom0 and the guest in step over a node of xenstore, without the slow console."""

from lab.guest import Guest

NODE = "data/rounds"

# The guest's side. USE is a script that returns once the device of round $n is in use, GONE one that returns once it
# has vanished; each prints what went wrong and returns another code than 0.
GUEST = """
use_device() {{
{use}
}}
wait_gone() {{
{gone}
}}
for n in $(seq {rounds}); do
    use_device >/run/round.log 2>&1 || {{ cat /run/round.log; xenstore-write {node} "failed $n"; exit 1; }}
    xenstore-write {node} "used $n"
    wait_gone >/run/round.log 2>&1 || {{ cat /run/round.log; xenstore-write {node} "failed $n"; exit 1; }}
    xenstore-write {node} "gone $n"
done
echo all rounds done
"""

DOM0 = """
path=/local/domain/$(xl domid {name})/{node}
follow() {{
    for t in $(seq {patience}); do
        case $(xenstore-read $path 2>/dev/null) in
        "$1") return 0 ;;
        failed*) echo "the guest says: $(xenstore-read $path)"; return 1 ;;
        esac
        sleep 0.6
    done
    echo "the guest does not say '$1' but '$(xenstore-read $path)'"
    return 1
}}
for n in $(seq {rounds}); do
    {{ {attach}
    }} || {{ echo "round $n: attach failed"; exit 1; }}
    follow "used $n" || exit 1
    {{ {detach}
    }} || {{ echo "round $n: detach failed"; exit 1; }}
    follow "gone $n" || exit 1
done
"""


def run_rounds(guest: Guest, rounds: int, attach: str, detach: str, use: str, gone: str, timeout: float) -> None:
    """Attaches and detaches `rounds` times; `attach` and `detach` run in dom0 with the round's number in $n."""
    guest.run(f"xenstore-write {NODE} ready").check()
    job = guest.start(GUEST.format(use=use, gone=gone, rounds=rounds, node=NODE))
    script = DOM0.format(name=guest.name, node=NODE, rounds=rounds, attach=attach, detach=detach, patience=400)
    result = guest.host.run(script, timeout)
    seen = job.wait(60) if result.rc == 0 else None
    if seen is None or seen.rc != 0:
        job.poll()
        raise AssertionError(f"{result.out[-2000:]}\nguest:\n{job.output[-2000:]}")
    assert "all rounds done" in seen.out
