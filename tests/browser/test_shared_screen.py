"""What people share who never typed a name, and what a screen keeps while one looks at another."""

import pytest
from playwright.sync_api import Browser, Page, expect

from lancet_core.study import review as reviewing
from tests.browser import driver
from tests.browser.written_study import Written

WORDS = " ".join(f"word{number}" for number in range(30))


@pytest.fixture
def untouched(written: Written) -> Written:
    """The study with every decision of earlier tests taken back."""
    for reviewer in set(reviewing.decisions(written.study)["reviewer"]):
        while reviewing.undo(written.study, reviewer):
            pass
    return written


def test_without_a_name_a_browser_takes_back_its_own_decisions_alone(
    page: Page, browser: Browser, untouched: Written
) -> None:
    address = untouched.url("review")
    driver.visit(page, address)
    page.keyboard.press("a")
    expect(page.get_by_text("1 of 40 pairs decided")).to_be_visible()
    driver.settle(page)
    context = browser.new_context()
    other = context.new_page()
    driver.visit(other, address)
    other.keyboard.press("u")
    expect(other.get_by_text("There is no decision of yours to undo in this window")).to_be_visible()
    assert reviewing.decisions(untouched.study)["verdict"].iloc[-1] == "approve"
    context.close()
    page.keyboard.press("u")
    expect(page.get_by_text("0 of 40 pairs decided")).to_be_visible()


def test_a_key_that_is_held_decides_once(page: Page, untouched: Written) -> None:
    driver.visit(page, untouched.url("review", reviewer="ada"))
    before = len(reviewing.decisions(untouched.study))
    for _ in range(20):
        page.keyboard.down("a")  # again while it is down: the browser calls it a repeat
        page.wait_for_timeout(100)
    page.keyboard.up("a")
    expect(page.get_by_text("1 of 40 pairs decided")).to_be_visible()
    driver.settle(page)
    assert len(reviewing.decisions(untouched.study)) == before + 1
    page.keyboard.press("n")
    expect(page.get_by_role("dialog")).to_contain_text("It trains on the 1 approved pair")


def test_words_typed_on_trace_are_there_again_after_another_screen(page: Page, untouched: Written) -> None:
    driver.visit(page, untouched.url("trace"))
    page.get_by_role("textbox", name="Prompt").fill(WORDS)
    page.keyboard.press("Tab")  # Streamlit takes a text when its field is left
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    page.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Learn").click()
    driver.settle(page)
    page.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Trace").click()
    driver.settle(page)
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value(WORDS)
