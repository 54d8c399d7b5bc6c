"""Review in a browser: keys, undo, bulk approval, a faster colleague, hostile text, export, cold reload."""

import json

import pytest
from playwright.sync_api import Page, expect

from lancet_core.workbench import reviews
from tests.browser import driver
from tests.browser.written_study import HOSTILE, NAME, Written

REVIEWER = "ada"


@pytest.fixture
def review(page: Page, written: Written) -> Page:
    """Review with every decision of earlier tests taken back."""
    while reviews.undo(written.workspace, NAME, REVIEWER):
        pass
    driver.visit(page, written.url("review", reviewer=REVIEWER))
    return page


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        driver.settle(page)


def pair_of(page: Page) -> str:
    return page.url.split("r_pair=")[1].split("&")[0]


def test_keys_decide_and_the_log_keeps_reviewer_and_time(review: Page, written: Written) -> None:
    first = pair_of(review)
    press(review, "a")
    expect(review.get_by_text("1 of 40 pairs decided")).to_be_visible()
    assert pair_of(review) != first
    press(review, "x")
    log = reviews.decisions(written.workspace, NAME).tail(2)
    assert log["verdict"].tolist() == ["approve", "reject"]
    assert set(log["reviewer"]) == {REVIEWER}
    assert (log["seconds"] > 0).all()


def test_undo_brings_the_pair_back_and_keeps_both_rows(review: Page, written: Written) -> None:
    first = pair_of(review)
    rows = len(reviews.decisions(written.workspace, NAME))
    press(review, "a", "u")
    assert pair_of(review) == first
    expect(review.get_by_text("0 of 40 pairs decided")).to_be_visible()
    assert len(reviews.decisions(written.workspace, NAME)) == rows + 2


def test_skip_flag_next_previous_swap_and_guidelines(review: Page, written: Written) -> None:
    first = pair_of(review)
    press(review, "j")
    second = pair_of(review)
    press(review, "k")
    assert (pair_of(review), second != first) == (first, True)
    titles = review.locator(".card h3")
    expect(titles.nth(1)).to_contain_text("Pushes towards")
    press(review, "w")
    expect(titles.nth(1)).to_contain_text("Pushes away")
    press(review, "s", "f")
    expect(review.get_by_text("1 skipped · 1 flagged")).to_be_visible()
    review.keyboard.press("h")
    expect(review.get_by_text("Read the answer, not the score.")).to_be_visible()


def test_after_ten_decisions_the_rest_is_approved_at_once_and_one_undo_takes_it_back(review: Page, written: Written) -> None:
    expect(review.locator(".st-key-review-bulk")).to_have_count(0)
    for pair_id in reviews.queue(written.workspace, NAME, reviewer=REVIEWER)["pair_id"][:9]:
        reviews.decide(written.workspace, pair_id, "approve", reviewer=REVIEWER)
    driver.visit(review, written.url("review", reviewer=REVIEWER))
    expect(review.locator(".st-key-review-bulk")).to_have_count(0)
    press(review, "a")
    expect(review.get_by_text("of 10 decisions")).to_be_visible()
    waiting = reviews.preview_bulk(written.workspace, NAME, REVIEWER).count
    review.get_by_role("button", name=f"Approve these {waiting} pairs").click()
    driver.settle(review)
    assert reviews.counts(written.workspace, NAME)["approve"] == 10 + waiting
    press(review, "u")
    assert reviews.counts(written.workspace, NAME)["approve"] == 10


def test_a_faster_colleague_is_named_and_nothing_is_overwritten(review: Page, written: Written) -> None:
    pair_id = pair_of(review)
    theirs = reviews.decide(written.workspace, pair_id, "reject", reviewer="grace")
    press(review, "a")
    expect(review.get_by_text("grace rejected pair")).to_be_visible()
    held = reviews.queue(written.workspace, NAME, reviewer=REVIEWER, show="all").set_index("pair_id").loc[pair_id]
    assert (held["verdict"], held["decided_by"], held["decision_id"]) == ("reject", "grace", theirs.id)
    review.get_by_role("button", name="Look at that pair").click()
    driver.settle(review)
    expect(review.get_by_text("Rejected by grace")).to_be_visible()
    reviews.undo(written.workspace, NAME, "grace")


def test_hostile_training_text_is_shown_and_not_interpreted(page: Page, written: Written) -> None:
    pairs = reviews.queue(written.workspace, NAME, reviewer=REVIEWER, show="all")
    samples = {HOSTILE}
    from lancet_core.data.samples import read_samples

    ids = read_samples(written.study.samples).query("response in @samples")["id"]
    pair_id = pairs[pairs["positive_id"].isin(ids) | pairs["negative_id"].isin(ids)]["pair_id"].iloc[0]
    for extra in ({}, {"r_diff": "true"}):
        driver.visit(page, written.url("review", r_show="all", r_pair=pair_id, **extra))
        expect(page.locator(".card .text", has_text="![beacon](http://example.invalid/beacon.png)")).to_be_visible()
        expect(page.locator("img[src*='example.invalid']")).to_have_count(0)


def test_filters_order_and_pair_survive_a_cold_reload(review: Page, written: Written) -> None:
    press(review, "a")
    review.get_by_role("radiogroup").get_by_text("Approved").click()
    driver.settle(review)
    shown = review.locator(".card .text").all_inner_texts()
    address = review.url
    assert "r_show=Approved" in address
    fresh = review.context.browser.new_page()
    driver.visit(fresh, address)
    assert fresh.locator(".card .text").all_inner_texts() == shown
    fresh.close()


def test_export_gives_what_a_correction_reads(review: Page, tmp_path) -> None:
    press(review, "a", "x")
    review.get_by_role("button", name="Export").click()
    with review.expect_download() as waiting:
        review.get_by_role("button", name="Pairs with verdicts").click()
    waiting.value.save_as(tmp_path / "pairs.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["approve", "reject"]
    assert rows[0]["positive"]["influence"] > 0 > rows[0]["negative"]["influence"]


def test_without_pairs_the_screen_says_how_they_come_about(page: Page, empty_server: str) -> None:
    driver.visit(page, f"{empty_server}/review")
    expect(page.get_by_text("This workspace holds no study yet.")).to_be_visible()
    expect(page.get_by_test_id("stBaseButton-primary")).to_have_count(1)
