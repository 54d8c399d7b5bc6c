"""Review in a browser: keys, undo, bulk approval, a faster colleague, hostile text, export, cold reload."""

import json
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, expect

from lancet_core.data.samples import read_samples
from lancet_core.workbench import reviews
from tests.browser import driver
from tests.browser.written_study import HOSTILE, NAME, Written

REVIEWER, COLLEAGUE = "ada", "grace"


@dataclass
class Screen:
    """Review, and what its page has told the server so far."""

    page: Page
    sent: list[int] = field(default_factory=list)

    def press(self, *keys: str) -> None:
        """Presses keys, each once the one before is done.

        On a starved machine Streamlit drops a key that comes while it registers its shortcuts: nothing is sent then.
        """
        for key in keys:
            before = len(self.sent)
            for _attempt in range(10):
                self.page.keyboard.press(key)
                self.page.wait_for_timeout(300)
                if len(self.sent) > before:
                    break
            driver.settle(self.page)

    @property
    def pair_id(self) -> str:
        return self.page.url.split("r_pair=")[1].split("&")[0]


@pytest.fixture
def review(page: Page, written: Written) -> Screen:
    """Review with every decision of earlier tests taken back."""
    for reviewer in (REVIEWER, COLLEAGUE):
        while reviews.undo(written.workspace, NAME, reviewer):
            pass
    screen = Screen(page)
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: screen.sent.append(len(frame))))
    driver.visit(page, written.url("review", reviewer=REVIEWER))
    return screen


def test_keys_decide_and_the_log_keeps_reviewer_and_time(review: Screen, written: Written) -> None:
    first = review.pair_id
    review.press("a")
    expect(review.page.get_by_text("1 of 40 pairs decided")).to_be_visible()
    assert review.pair_id != first
    review.press("x")
    log = reviews.decisions(written.workspace, NAME).tail(2)
    assert log["verdict"].tolist() == ["approve", "reject"]
    assert set(log["reviewer"]) == {REVIEWER}
    assert (log["seconds"] > 0).all()


def test_undo_brings_the_pair_back_and_keeps_both_rows(review: Screen, written: Written) -> None:
    first = review.pair_id
    rows = len(reviews.decisions(written.workspace, NAME))
    review.press("a", "u")
    assert review.pair_id == first
    expect(review.page.get_by_text("0 of 40 pairs decided")).to_be_visible()
    assert len(reviews.decisions(written.workspace, NAME)) == rows + 2


def test_skip_flag_next_previous_swap_and_guidelines(review: Screen, written: Written) -> None:
    first = review.pair_id
    review.press("j")
    second = review.pair_id
    review.press("k")
    assert (review.pair_id, second != first) == (first, True)
    titles = review.page.locator(".card h3")
    expect(titles.nth(1)).to_contain_text("Pushes towards")
    review.press("w")
    expect(titles.nth(1)).to_contain_text("Pushes away")
    review.press("s", "f")
    expect(review.page.get_by_text("1 skipped · 1 flagged")).to_be_visible()
    review.page.keyboard.press("h")
    expect(review.page.get_by_text("Read the answer, not the score.")).to_be_visible()


def test_after_ten_decisions_the_rest_is_approved_at_once_and_one_undo_takes_it_back(
    review: Screen, written: Written
) -> None:
    expect(review.page.locator(".st-key-review-bulk")).to_have_count(0)
    for pair_id in reviews.queue(written.workspace, NAME, reviewer=REVIEWER)["pair_id"][:9]:
        reviews.decide(written.workspace, pair_id, "approve", reviewer=REVIEWER)
    driver.visit(review.page, written.url("review", reviewer=REVIEWER))
    expect(review.page.locator(".st-key-review-bulk")).to_have_count(0)
    review.press("a")
    expect(review.page.get_by_text("of 10 decisions")).to_be_visible()
    waiting = reviews.preview_bulk(written.workspace, NAME, REVIEWER).count
    review.page.get_by_role("button", name=f"Approve these {waiting} pairs").click()
    driver.settle(review.page)
    assert reviews.counts(written.workspace, NAME)["approve"] == 10 + waiting
    review.press("u")
    assert reviews.counts(written.workspace, NAME)["approve"] == 10


def test_a_faster_colleague_is_named_and_nothing_is_overwritten(review: Screen, written: Written) -> None:
    pair_id = review.pair_id
    theirs = reviews.decide(written.workspace, pair_id, "reject", reviewer=COLLEAGUE)
    review.press("a")
    expect(review.page.get_by_text("grace rejected pair")).to_be_visible()
    held = (
        reviews.queue(written.workspace, NAME, reviewer=REVIEWER, show="all")
        .set_index("pair_id")
        .loc[pair_id]
    )
    assert (held["verdict"], held["decided_by"], held["decision_id"]) == ("reject", COLLEAGUE, theirs.id)
    review.page.get_by_role("button", name="Look at that pair").click()
    driver.settle(review.page)
    expect(review.page.get_by_text("Rejected by grace")).to_be_visible()


def test_hostile_training_text_is_shown_and_not_interpreted(page: Page, written: Written) -> None:
    pairs = reviews.queue(written.workspace, NAME, reviewer=REVIEWER, show="all")
    samples = read_samples(written.study.samples)
    ids = samples[samples["response"] == HOSTILE]["id"]
    pair_id = pairs[pairs["positive_id"].isin(ids) | pairs["negative_id"].isin(ids)]["pair_id"].iloc[0]
    for extra in ({}, {"r_diff": "true"}):
        driver.visit(page, written.url("review", r_show="All", r_pair=pair_id, **extra))
        expect(
            page.locator(".card .text", has_text="![beacon](http://example.invalid/beacon.png)")
        ).to_be_visible()
        expect(page.locator("img[src*='example.invalid']")).to_have_count(0)


def test_filters_order_and_pair_survive_a_cold_reload(review: Screen, written: Written) -> None:
    review.press("a")
    review.page.get_by_role("radiogroup").get_by_text("Approved").click()
    driver.settle(review.page)
    shown = review.page.locator(".card .text").all_inner_texts()
    address = review.page.url
    assert "r_show=Approved" in address
    driver.visit(review.page, address)
    assert review.page.locator(".card .text").all_inner_texts() == shown


def test_export_gives_what_a_correction_reads(review: Screen, tmp_path) -> None:
    review.press("a", "x")
    review.page.get_by_role("button", name="Export").click()
    with review.page.expect_download() as waiting:
        review.page.get_by_role("button", name="Pairs with verdicts").click()
    waiting.value.save_as(tmp_path / "pairs.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["approve", "reject"]
    assert rows[0]["positive"]["influence"] > 0 > rows[0]["negative"]["influence"]


def test_without_pairs_the_screen_says_how_they_come_about(page: Page, empty_server: str) -> None:
    driver.visit(page, f"{empty_server}/review")
    expect(page.get_by_text("This workspace holds no study yet.")).to_be_visible()
    expect(page.locator(".st-key-next-step")).to_have_count(1)
