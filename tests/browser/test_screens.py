"""Home, Learn, Trace and Audit in a real browser: their empty, blocked and error states, their URL state, their manners."""

import re

import pytest
from playwright.sync_api import Page, expect

from lancet_core.workspace import Workspace
from pages.shared.screens import SCREENS
from tests.browser import driver
from tests.browser.written_study import Written


def first_case(workspace: Workspace) -> str:
    """Id of the first sample case of the workspace's study."""
    from lancet_core.study.study import list_studies

    return str(list_studies(workspace=workspace)[0].sample_cases(1)["id"].iloc[0])


def test_the_server_answers_a_deep_link_first(page: Page, empty_server: str):
    """A cold server's first request is a deep link into a sub-folder's page; there is no study yet."""
    driver.visit(page, f"{empty_server}/audit")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("This workspace holds no study yet.")).to_be_visible()
    page.locator(".st-key-next-step button:visible").click()
    driver.settle(page)
    expect(page.get_by_role("button", name="Open the demo study")).to_be_visible()


@pytest.mark.parametrize("name", SCREENS)
def test_each_screen_has_one_primary_button(page: Page, written: Written, name: str):
    path = "" if name == "home" else name
    driver.visit(page, f"{written.address}/{path}")
    expect(page.locator("h2", has_text=SCREENS[name].title).first).to_be_visible()
    expect(
        page.locator('[data-testid="stBaseButton-primary"]:visible, .st-key-next-step button:visible')
    ).to_have_count(1)
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_no_screen_is_wider_than_the_window(page: Page, written: Written, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    for name in SCREENS:
        path = "" if name == "home" else name
        driver.visit(page, f"{written.address}/{path}?case={first_case(written.workspace)}")
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        main = page.locator('[data-testid="stMainBlockContainer"]')
        inner = main.evaluate("element => element.scrollWidth - element.clientWidth")
        assert (name, overflow, inner) == (name, 0, 0)


def test_an_unknown_study_is_told_as_text(page: Page, written: Written):
    driver.visit_error(page, f"{written.address}/trace?study=nothing")
    expect(page.locator(".st-key-error")).to_contain_text(
        "there is no study 'nothing'; studies here: written"
    )


def test_an_unknown_case_is_told_as_text(page: Page, written: Written):
    driver.visit(page, f"{written.address}/trace?study=written&case=0123456789abcdef")
    expect(page.locator(".st-key-error")).to_contain_text("no query '0123456789abcdef'")


def test_the_sidebar_keeps_study_and_case(page: Page, written: Written):
    case = first_case(written.workspace)
    driver.visit(page, f"{written.address}/learn?study=written&case={case}")
    page.get_by_role("link", name="Runs").click()
    expect(page).to_have_url(re.compile(rf"/runs\?.*case={case}"))


def test_a_question_is_answered_and_traced(page: Page, server: str):
    driver.visit(page, server)
    page.get_by_placeholder("A prompt for the model").fill("Should I put butter on a burn?")
    page.get_by_role("button", name="Ask the model").click()
    expect(page).to_have_url(re.compile(r"/trace\?.*t_prompt=Should"))
    driver.settle(page)
    trace = page.get_by_role("button", name="Trace this answer")
    expect(trace).to_be_disabled()
    page.get_by_role("button", name="Generate").click()
    expect(trace).to_be_enabled(timeout=driver.LONG_MS)
    driver.settle(page)
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile(r"case=[0-9a-f]{16}"))
    expect(page.locator(".rows .row").first).to_be_visible(timeout=driver.LONG_MS)


def test_hostile_text_stays_text(page: Page, server: str):
    """Markup in a prompt or an answer is shown, never interpreted: nothing is fetched and nothing runs."""
    hostile = '![x](http://example.com/x.png) <img src=x onerror="document.title=1"> :red[red] **bold**'
    driver.visit(page, f"{server}/trace")
    page.get_by_text("Paste an answer").click()
    driver.settle(page)
    page.get_by_role("textbox", name="Prompt").fill(f"Prompt {hostile}")
    page.get_by_role("textbox", name="Answer").fill(f"Answer {hostile}")
    page.get_by_role("textbox", name="Answer").press("Control+Enter")
    driver.settle(page)
    page.get_by_role("button", name="Trace this answer").click()
    expect(page).to_have_url(re.compile(r"case=[0-9a-f]{16}"))
    expect(page.locator(".card .text").nth(1)).to_have_text(f"Answer {hostile}")
    driver.settle(page)
    assert page.locator(".card img").count() == 0
    driver.visit(page, server)
    assert page.title() != "1"


def test_audit_follows_its_threshold(page: Page, server: str, demo_workspace: Workspace):
    driver.visit(page, f"{server}/audit?study=demo&case={first_case(demo_workspace)}&a_methods=LinFAC")
    page.get_by_role("button", name="Rank with LinFAC").click()
    expect(page.get_by_text("Where to cut")).to_be_visible(timeout=driver.LONG_MS)
    driver.settle(page)
    slider = page.get_by_role("slider").first
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"a_cut=21"))
    driver.settle(page)
    driver.visit(page, page.url)
    expect(page.get_by_role("slider").first).to_have_value("21")


def test_methods_switch_in_the_url(page: Page, server: str, demo_workspace: Workspace):
    driver.visit(page, f"{server}/trace?study=demo&case={first_case(demo_workspace)}")
    expect(page.locator(".rows .row").first).to_be_visible(timeout=driver.LONG_MS)
    driver.settle(page)
    page.get_by_role("combobox", name="Method").click()
    page.get_by_role("option", name="TF-IDF").click()
    expect(page).to_have_url(re.compile("t_method=TF-IDF"))
    expect(page.locator(".rows .row").first).to_be_visible(timeout=driver.LONG_MS)


def test_the_tour_can_be_walked_by_key(page: Page, written: Written):
    driver.visit(page, f"{written.address}/learn")
    for lesson in range(2, 6):
        expect(page.locator(".st-key-next-step button:visible")).to_be_enabled()
        page.wait_for_timeout(500)  # a key is heard only once the button that it presses has been drawn
        page.keyboard.press("n")
        expect(page).to_have_url(re.compile(f"l_lesson={lesson}"))
        driver.settle(page)
    page.get_by_text("How to read each number").click()
    expect(page.get_by_text("Average precision", exact=True)).to_be_visible()


def test_somebody_with_a_name_goes_on_from_trace_and_keeps_it(
    page: Page, server: str, demo_workspace: Workspace
):
    driver.visit(page, f"{server}/trace?study=demo&case={first_case(demo_workspace)}&reviewer=walker")
    expect(page.locator(".rows .row").first).to_be_visible(timeout=driver.LONG_MS)
    driver.settle(page)
    page.locator(".st-key-next-step button:visible").click()
    expect(page).to_have_url(re.compile(r"/review\?"), timeout=driver.LONG_MS)
    driver.settle(page)
    expect(page.locator(".st-key-reviewer input")).to_have_value("walker")
