from hypothesis import given
from hypothesis import strategies as st

from edge_agent.channels import Command
from edge_agent.guard_rules import DeadMan, Rules

MS = 1_000_000


def command(frame: int, *, epoch: int = 1, captured_ns: int = 0) -> Command:
    return Command(epoch, 1, frame, captured_ns, captured_ns)


def test_frames_are_accepted_in_order_only() -> None:
    rules = Rules(epoch=1, allowed=1)
    assert [rules.judge(command(frame), 10) for frame in (1, 2, 2, 1, 5)] == ["", "", "order", "order", ""]


def test_an_epoch_that_was_not_allowed_is_refused() -> None:
    assert Rules(epoch=1, allowed=1).judge(command(1, epoch=2), 10) == "epoch"


def test_the_old_epoch_is_heard_until_the_first_command_of_the_new_one_and_never_after() -> None:
    rules = Rules(epoch=1, allowed=1)
    rules.allow(2)
    heard = [rules.judge(command(frame, epoch=epoch), 10) for frame, epoch in ((1, 1), (2, 1), (3, 2), (4, 1), (5, 2))]
    assert heard == ["", "", "", "epoch", ""]


def test_allowing_an_earlier_epoch_changes_nothing() -> None:
    rules = Rules(epoch=3, allowed=3)
    rules.allow(2)
    assert rules.judge(command(1, epoch=3), 10) == ""


def test_a_capture_in_the_future_would_never_expire_and_is_refused() -> None:
    assert Rules(epoch=1, allowed=1).judge(command(1, captured_ns=11), 10) == "stale"


def test_a_frame_moves_an_actuator_until_it_is_too_old() -> None:
    dead_man = DeadMan(max_age_ns=100 * MS)
    assert dead_man.accept(captured_ns=0, now_ns=100 * MS)
    assert not dead_man.accept(captured_ns=0, now_ns=100 * MS + 1)


def test_the_dead_man_speaks_once() -> None:
    dead_man = DeadMan(max_age_ns=100 * MS)
    assert not dead_man.expired(10**12)
    dead_man.accept(captured_ns=0, now_ns=10 * MS)
    assert [dead_man.expired(at * MS) for at in (100, 101, 102)] == [False, True, False]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30), st.integers(0, 4)), max_size=60))
def test_accepted_commands_never_go_back_in_frame_or_epoch(steps: list[tuple[int, int, int]]) -> None:
    rules, accepted = Rules(epoch=1, allowed=1), []
    for epoch, frame, allowed in steps:
        rules.allow(allowed)
        if rules.judge(command(frame, epoch=epoch), 10) == "":
            accepted.append((epoch, frame))
    assert accepted == sorted(accepted)
    assert len({frame for _, frame in accepted}) == len(accepted)
