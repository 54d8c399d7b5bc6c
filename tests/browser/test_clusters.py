"""Clusters in a browser: map, click, lasso, the group's ranking, cold reload."""

from playwright.sync_api import Locator, Page, expect

from tests.browser import driver
from tests.browser.written_study import QUERIES_OF_TOPIC, TOPICS, Written

COUNT = QUERIES_OF_TOPIC * len(TOPICS)


def group(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Group")


def test_map_shows_every_query_with_hulls_labels_and_silhouette(page: Page, written: Written) -> None:
    driver.visit(page, written.url("clusters"))
    expect(page.locator(".st-key-clusters-map .scatterlayer .points path")).to_have_count(COUNT)
    for label in ("0 · damp, cellar", "2 · pays, late"):
        expect(page.locator(".st-key-clusters-map").get_by_text(label)).to_be_visible()
    expect(page.get_by_text("0.410")).to_be_visible()
    expect(page.locator(".st-key-next-step")).to_have_count(1)


def test_lasso_takes_queries_and_a_cold_reload_shows_the_same(page: Page, written: Written) -> None:
    driver.visit(page, written.url("clusters"))
    page.get_by_text("Draw a lasso around queries").click()
    driver.settle(page)
    box = page.locator(".st-key-clusters-map .nsewdrag").first.bounding_box()
    assert box is not None
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.03)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    expect(group(page)).to_have_value(f"Lasso, {COUNT} queries")
    driver.settle(page)
    address = page.url
    driver.visit(page, address)
    expect(group(page)).to_have_value(f"Lasso, {COUNT} queries")


def test_click_takes_the_cluster_of_the_query(page: Page, written: Written) -> None:
    driver.visit(page, written.url("clusters"))
    box = page.locator(".st-key-clusters-map .scatterlayer .points path").first.bounding_box()
    assert box is not None
    place = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    # A click is a click on what the pointer was over before.
    page.mouse.move(place[0] - 3, place[1])
    page.mouse.move(*place, steps=3)
    expect(page.locator(".st-key-clusters-map .hoverlayer .hovertext")).to_be_visible()
    page.mouse.click(*place)
    expect(group(page)).to_have_value("Cluster 0 · damp, cellar")


def test_a_clusters_batch_is_shown_at_once_where_it_is_attributed_already(
    page: Page, written: Written
) -> None:
    driver.visit(page, written.url("clusters", c_group="Cluster 1 · a, fever"))
    page.get_by_role("button", name="Attribute this group").click()
    expect(page.get_by_text("This group as one batch")).to_be_visible()
    driver.settle(page)
    towards = page.locator(".row .response")
    expect(towards.first).to_contain_text("give the old powder")
    address = page.url
    driver.visit(page, address)
    expect(page.locator(".row .response").first).to_contain_text("give the old powder")
