"""The keys of Review: presses are queued in the page, so that none is lost however fast they come.

Streamlit's own shortcuts are deaf while the screen is drawn and while a field has the focus. Here the page listens to the
document, numbers each press, and sends all that the server has not applied yet; the server applies each number once, in order.
"""

from collections.abc import Callable, Iterator, Mapping

import streamlit as st

KEY = "review-keys"
APPLIED = "review-keys-applied"

_JS = """
const QUIET_MS = 700;
const isTyping = (node) => node && (node.isContentEditable || node.tagName === "TEXTAREA" || node.tagName === "SELECT"
  || (node.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(node.type)));
// A list that was chosen from, or a line that was entered, gives the keys back to the page.
const leaveField = (entered) => setTimeout(() => {
  const field = document.activeElement;
  if (!isTyping(field) || field.tagName === "TEXTAREA") return;
  const isList = field.getAttribute("role") === "combobox";
  if (isList ? field.getAttribute("aria-expanded") !== "true" : entered) field.blur();
}, 150);

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const memory = (parentElement.lancetKeys ??= { waiting: [], last: 0 });
  memory.waiting = memory.waiting.filter(([number]) => number > data.applied);
  memory.last = Math.max(memory.last, data.applied);
  memory.stop?.();
  const rest = () => {
    clearTimeout(memory.timer);
    if (data.behind) memory.timer = setTimeout(() => setTriggerValue("rest", true), QUIET_MS);
  };
  const onKey = (event) => {
    if (event.key === "Enter" || event.key === "Escape") leaveField(event.key === "Enter");
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (isTyping(event.composedPath()[0]) || document.querySelector('[role="dialog"]')) return;
    const action = data.actions[event.key.toUpperCase()];
    if (!action) return;
    event.preventDefault();
    memory.waiting.push([++memory.last, action]);
    setStateValue("presses", [...memory.waiting]);
    rest();
  };
  const onClick = () => leaveField(false);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  rest();
  memory.stop = () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("click", onClick);
    clearTimeout(memory.timer);
  };
  return memory.stop;
}
"""

_component = st.components.v2.component("lancet_review_keys", html="<span></span>", js=_JS)


def listen(actions: Mapping[str, str], *, apply: Callable[[str], None], behind: bool) -> bool:
    """Listens to the keys of the screen.

    Args:
        actions: Key, in capitals, to what it does.
        apply: Does one action; called before the screen is drawn, once for each press, in order.
        behind: Whether the rest of the screen shows an older state; it is then asked for once the keys are quiet.

    Returns:
        Whether the rest of the screen should be drawn now.
    """

    def apply_all() -> None:
        for action in _new_presses(set(actions.values())):
            apply(action)

    result = _component(
        key=KEY,
        data={"actions": dict(actions), "applied": st.session_state.get(APPLIED, 0), "behind": behind},
        on_presses_change=apply_all,
        on_rest_change=lambda: None,
        height=1,
    )
    return bool(result.rest)


def _new_presses(known: set[str]) -> Iterator[str]:
    """Yields the actions of the presses that were not applied before, in order."""
    for number, action in st.session_state[KEY].get("presses") or ():
        if number > st.session_state.get(APPLIED, 0) and action in known:
            st.session_state[APPLIED] = number
            yield action
