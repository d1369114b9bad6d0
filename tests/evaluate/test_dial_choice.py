"""The dial's promise: a way that loses more than was allowed is taken at most one time in twenty, however many ways are tried."""

from math import exp, lgamma, log

import numpy as np
import pytest
from scipy import stats

from biocosmos.evaluate.dial.choice import Judged, pick, to_judge
from biocosmos.evaluate.dial.paired import ALPHA, largest_loss, loss_probability


def law(losses, gains, count, lost, gained):
    """The probability of (losses, gains) among ``count`` specimens."""
    rest = count - losses - gains
    total = lgamma(count + 1) - lgamma(losses + 1) - lgamma(gains + 1) - lgamma(rest + 1)
    for number, share in ((losses, lost), (gains, gained), (rest, 1 - lost - gained)):
        if number:
            total += number * log(share) if share > 0 else -1e9
    return exp(total)


@pytest.mark.parametrize(("margin", "gained"), [(0.1, 0.0), (0.1, 0.02), (0.1, 0.15), (0.25, 0.3), (0.02, 0.05)])
def test_a_way_that_loses_just_the_margin_passes_at_most_one_time_in_twenty(margin, gained):
    count = 36
    wrong = sum(
        law(losses, gains, count, gained + margin, gained)
        for gains in range(count + 1)
        for losses in range(count + 1 - gains)
        if loss_probability(losses, gains, count, margin) <= ALPHA
    )
    assert wrong <= ALPHA + 1e-9


def test_without_gains_it_is_the_exact_binomial_test():
    for losses in (0, 1, 4):
        exact = stats.binom.cdf(losses, 300, 0.02)
        found = loss_probability(losses, 0, 300, 0.02)
        assert exact - 1e-9 <= found <= exact + 0.02  # never below; above, since the share of gains is not known


def test_three_in_n_is_the_loss_that_none_in_n_leaves_open():
    assert largest_loss(0, 0, 300) == pytest.approx(1 - 0.05 ** (1 / 300), rel=0.05)
    assert largest_loss(0, 0, 0) == 1.0
    assert largest_loss(40, 40, 4000) < 0.005 < largest_loss(60, 40, 4000)
    assert largest_loss(0, 30, 1000) < -0.015  # a gain is a loss below zero


def test_a_wider_margin_is_no_harder_and_a_loss_more_no_easier():
    rising = [loss_probability(20, 12, 900, margin) for margin in (0.0, 0.005, 0.01, 0.02, 0.05)]
    assert rising == sorted(rising, reverse=True)
    by_losses = [loss_probability(losses, 12, 900, 0.01) for losses in range(0, 40, 4)]
    assert by_losses == sorted(by_losses)


def test_the_front_is_judged_from_slow_to_fast_in_steps_that_are_worth_a_test():
    speeds = [1.0, 1.1, 1.2, 1.21, 1.5, 1.5, 2.0, 3.0, 1.6]
    losses = [0.0, 0.001, 0.0005, 0.002, 0.004, 0.003, 0.009, 0.4, 0.02]
    #         dense  beaten  front  a small step  beaten  front  front  hopeless  beaten by 2.0
    assert to_judge(speeds, losses, 0.01) == [2, 5, 6]
    assert to_judge([1.0, 1.02], [0.0, 0.0], 0.01) == []
    assert to_judge([1.3, 1.3], [0.0, 0.0], 0.01) == [0]  # of two that are alike the first


def test_the_first_failure_ends_the_sequence():
    harmless, harmful = Judged(2, 2, 2000), Judged(60, 10, 2000)
    place, tried = pick([harmless, harmful, harmless], 0.01)
    assert place == 0 and len(tried) == 2 and tried[1] > ALPHA
    assert pick([harmful, harmless], 0.01)[0] == -1
    assert pick([], 0.01) == (-1, [])


def test_the_promise_holds_over_worlds_of_many_ways():
    """Ways of all speeds, true losses on both sides of the margin, choosing and judging specimens drawn anew in each world."""
    rng = np.random.default_rng(0)
    margin, worlds, wrong, taken = 0.01, 300, 0, 0
    for _ in range(worlds):
        speeds = np.sort(rng.uniform(1.05, 4, 24))
        truth = np.clip(rng.normal(0.004 * speeds, 0.006), -0.01, 0.08)  # many of them just above what is allowed
        noise = rng.uniform(0.002, 0.03, 24)
        lost, gained = noise + np.maximum(truth, 0), noise + np.maximum(-truth, 0)
        drawn = [rng.multinomial(600, (a, b, 1 - a - b)) for a, b in zip(lost, gained)]
        order = to_judge(speeds, [(row[0] - row[1]) / 600 for row in drawn], margin)
        judged = [rng.multinomial(1500, (lost[i], gained[i], 1 - lost[i] - gained[i])) for i in order]
        place, _ = pick([Judged(int(row[0]), int(row[1]), 1500) for row in judged], margin)
        taken += place >= 0
        wrong += place >= 0 and truth[order[place]] > margin
    assert wrong <= stats.binom.ppf(0.999, worlds, ALPHA)
    assert taken > worlds / 20  # and it is no promise kept by taking nothing
