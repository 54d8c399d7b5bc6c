"""Review in a browser: keys, undo, bulk approval, a faster colleague, hostile text, export, cold reload."""

import json
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from lancet_core.study import review as reviewing
from lancet_core.study.queue import View, counts, queue
from tests.browser import driver
from tests.browser.written_study import HOSTILE, Written

REVIEWER, COLLEAGUE = "ada", "grace"


@dataclass
class Screen:
    """Review in its page."""

    page: Page

    def press(self, *keys: str) -> None:
        """Presses keys, each once the one before is done."""
        for key in keys:
            self.page.keyboard.press(key)
            driver.settle(self.page)

    def press_fast(self, *keys: str) -> None:
        """Presses keys faster than the screen is drawn."""
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(150)
        driver.settle(self.page)

    @property
    def pair_id(self) -> str:
        return self.page.url.split("r_pair=")[1].split("&")[0]


@pytest.fixture
def review(page: Page, written: Written) -> Screen:
    """Review with every decision of earlier tests taken back."""
    for reviewer in set(reviewing.decisions(written.study)["reviewer"]):
        while reviewing.undo(written.study, reviewer):
            pass
    screen = Screen(page)
    driver.visit(page, written.url("review", reviewer=REVIEWER))
    return screen


def test_keys_decide_and_the_log_keeps_reviewer_and_time(review: Screen, written: Written) -> None:
    first = review.pair_id
    review.press("a")
    expect(review.page.get_by_text("1 of 40 pairs decided")).to_be_visible()
    assert review.pair_id != first
    review.press("x")
    log = reviewing.decisions(written.study).tail(2)
    assert log["verdict"].tolist() == ["approve", "reject"]
    assert set(log["reviewer"]) == {REVIEWER}
    assert (log["seconds"] > 0).all()


def test_keys_are_not_lost_however_fast_they_come(review: Screen, written: Written) -> None:
    ids = queue(written.study, View(REVIEWER))["pair_id"].tolist()
    review.press_fast(*"axaxsf")
    expect(review.page.get_by_text("6 of 40 pairs decided")).to_be_visible()
    log = reviewing.decisions(written.study).tail(6)
    assert log["pair_id"].tolist() == ids[:6]
    assert log["verdict"].tolist() == ["approve", "reject", "approve", "reject", "skip", "flag"]
    assert review.pair_id == ids[6]


def toggle_marks(page: Page) -> None:
    page.get_by_text("Mark differences").click()


def choose_order(page: Page) -> None:
    page.get_by_role("combobox", name="Order").click()
    page.get_by_role("option", name="Strongest influence first").click()


def filter_by_verdict(page: Page) -> None:
    page.get_by_role("radiogroup").get_by_text("All", exact=True).click()


def type_the_name(page: Page) -> None:
    page.locator(".st-key-reviewer input").fill(REVIEWER + "s")
    page.locator(".st-key-reviewer input").press("Enter")


@pytest.mark.parametrize("use", [toggle_marks, choose_order, filter_by_verdict, type_the_name])
def test_keys_are_heard_after_a_field_was_used(review: Screen, use) -> None:
    use(review.page)
    driver.settle(review.page)
    review.press("s")
    expect(review.page.get_by_text("1 of 40 pairs decided · 1 skipped")).to_be_visible()


def test_letters_typed_into_a_field_decide_nothing(review: Screen) -> None:
    review.page.locator(".st-key-reviewer input").press_sequentially("axs")
    driver.settle(review.page)
    expect(review.page.get_by_text("0 of 40 pairs decided")).to_be_visible()


def test_n_asks_before_a_training_run_starts(review: Screen, written: Written) -> None:
    review.press("a", "n")
    dialog = review.page.get_by_role("dialog")
    expect(dialog).to_contain_text("It trains on the 1 approved pair")
    review.page.keyboard.press("x")
    review.page.keyboard.press("Escape")
    driver.settle(review.page)
    expect(review.page.get_by_text("1 of 40 pairs decided · 1 approved")).to_be_visible()
    assert written.study.runs("correct") == []


def test_one_step_back_leaves_review_after_many_pairs(review: Screen, written: Written) -> None:
    driver.visit(review.page, written.url("learn"))
    review.page.get_by_role("link", name="Review").first.click()
    review.page.wait_for_url("**/review?**r_pair=**")
    driver.settle(review.page)
    review.press("j", "j", "j", "a", "j")
    review.page.go_back()
    review.page.wait_for_url("**/learn?**")


def test_undo_brings_the_pair_back_and_keeps_both_rows(review: Screen, written: Written) -> None:
    first = review.pair_id
    rows = len(reviewing.decisions(written.study))
    review.press("a", "u")
    assert review.pair_id == first
    expect(review.page.get_by_text("0 of 40 pairs decided")).to_be_visible()
    assert len(reviewing.decisions(written.study)) == rows + 2


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
    for pair_id in queue(written.study, View(REVIEWER))["pair_id"][:9]:
        reviewing.decide(written.workspace, pair_id, "approve", reviewer=REVIEWER)
    driver.visit(review.page, written.url("review", reviewer=REVIEWER))
    expect(review.page.locator(".st-key-review-bulk")).to_have_count(0)
    review.press("a")
    expect(review.page.get_by_text("of 10 decisions")).to_be_visible()
    waiting = reviewing.preview_bulk(written.study, REVIEWER).count
    review.page.get_by_role("button", name=f"Approve these {waiting} pairs").click()
    driver.settle(review.page)
    assert counts(written.study).approve == 10 + waiting
    review.press("u")
    expect(
        review.page.get_by_text(f"Taken back: {waiting} pairs that you had approved in one step.")
    ).to_be_visible()
    assert counts(written.study).approve == 10


def test_a_faster_colleague_is_named_and_nothing_is_overwritten(review: Screen, written: Written) -> None:
    pair_id = review.pair_id
    theirs = reviewing.decide(written.workspace, pair_id, "reject", reviewer=COLLEAGUE)
    review.press("a")
    expect(review.page.get_by_text("grace rejected pair")).to_be_visible()
    held = queue(written.study, View(REVIEWER, show="all")).set_index("pair_id").loc[pair_id]
    assert (held["verdict"], held["decided_by"], held["decision_id"]) == ("reject", COLLEAGUE, theirs.id)
    review.page.get_by_role("button", name="Look at that pair").click()
    driver.settle(review.page)
    expect(review.page.get_by_text("Rejected by grace")).to_be_visible()


def test_hostile_training_text_is_shown_and_not_interpreted(page: Page, written: Written) -> None:
    pairs = queue(written.study, View(REVIEWER, show="all"))
    samples = written.study.samples()
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
