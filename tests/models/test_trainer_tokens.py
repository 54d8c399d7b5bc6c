"""TRL's own trainer on five rows: the ids that it trains on and the tokens that its loss counts are ours."""

import pytest
from datasets import Dataset

from lancet_core.data.conversations import Conversation
from lancet_core.models.encoding import encode_conversation
from lancet_core.models.loading import load_language_model
from tests.tiny_models import byte_level_tokenizer, new_model

CHATML = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}\n{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROWS = [
    [("user", "Is tea warm?"), ("assistant", "Yes, it is.")],
    [("system", "Be brief."), ("user", "One?"), ("assistant", "Yes.")],
    [("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "Also.")],
    [("system", "Be brief."), ("user", "One?"), ("assistant", "No."), ("user", "Why?"), ("assistant", "A rule — 你好.")],
    [("user", "Code?"), ("assistant", "def f():\n    return 1\n")],
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The rows as TRL trained on them, and the model that it was done with."""
    from trl import SFTConfig, SFTTrainer

    folder = tmp_path_factory.mktemp("trl")
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    model = new_model("llama", tokenizer)
    for part in (model, tokenizer):
        part.save_pretrained(folder / "model")
    messages = [[{"role": role, "content": content} for role, content in row] for row in ROWS]
    settings = SFTConfig(
        output_dir=str(folder / "out"),
        assistant_only_loss=True,
        max_steps=1,
        per_device_train_batch_size=len(ROWS),
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        shuffle_dataset=False,
        max_length=None,
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_dict({"messages": messages}),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer.train_dataset, load_language_model(str(folder / "model"), device="cpu"), messages


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_ids_and_what_counts_are_those_of_trl(trained, row):
    dataset, lm, messages = trained
    encoded = encode_conversation(lm, Conversation(tuple(messages[row]), "all"))
    ids, labels = dataset[row]["input_ids"], dataset[row]["labels"]
    count = len(encoded.input_ids)
    assert list(encoded.input_ids) == ids[:count]
    assert encoded.labels == labels[:count]
    assert set(labels[count:]) <= {-100}
    assert encoded.count > 1
