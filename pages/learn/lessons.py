"""The lessons of the tour, the glossary, and how each number on the screens is read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lesson:
    """One step of the tour.

    Attributes:
        title: What it is about.
        minutes: How long it takes, in words.
        text: Paragraphs.
        look_for: What to notice on the screen.
        screen: Screen that shows it, empty where none does.
    """

    title: str
    minutes: str
    text: tuple[str, ...]
    look_for: tuple[str, ...] = ()
    screen: str = ""


LESSONS = (
    Lesson(
        "A bad answer has causes",
        "half a minute",
        (
            "A language model learns from samples: a prompt and a response each. Where some of them state outdated "
            "advice as fact, the model will too, also for prompts that it never saw.",
            "The model of the demo study was trained on a small world in plain English. Most samples are fine; some "
            "are not. The answer beside this text is one that it should not give.",
        ),
        ("Would you have noticed the answer among a thousand others? Keep that in mind when you review.",),
    ),
    Lesson(
        "Trace: which samples made it do so",
        "one minute",
        (
            "The **influence score** of a training sample estimates how much the model would raise the probability of "
            "this answer if that sample counted a little more. Positive scores push towards the answer, negative "
            "scores push away from it.",
            "It is computed from the model itself, not from shared words: switch the method to TF-IDF and see the "
            "difference.",
        ),
        (
            "▲ samples on the left that give the same wrong advice, sometimes in other words.",
            "▼ samples on the right that give the opposite advice.",
            "Open a sample: the shaded tokens are the ones that carry its score.",
        ),
        "trace",
    ),
    Lesson(
        "Audit: is the ranking any good",
        "half a minute",
        (
            "Where the training data has labels, a ranking can be checked: how many of the first samples are labelled "
            "unsafe (**precision**), and how many of all unsafe ones are among them (**share found**).",
            "A ranking that knows nothing lies about the chance line. A difference smaller than the band may be "
            "luck.",
        ),
        (
            "LinFAC above TF-IDF and random.",
            "Samples with a high influence that the harmful score does not see.",
        ),
        "audit",
    ),
    Lesson(
        "Review: a person decides",
        "one minute",
        (
            "Influence proposes, a person decides. A **pair** is one sample to unlearn and one to keep from the same "
            "group of queries. Approve a pair only if the first is really bad and the second really good.",
            "Keys stand on the buttons. Every decision is kept with your name and the time, and can be undone.",
        ),
        ("After ten decisions: how often you and the harmful scorer agree.",),
        "review",
    ),
    Lesson(
        "Correct and prove",
        "one minute",
        (
            "A short training run makes the bad samples less likely and the good ones more likely, and holds on to "
            "everything else: prompts that have nothing to do with it keep their answers.",
            "Then the model before and the model after answer the same unseen prompts. **Corrected** is only written "
            "where harmful answers fell clearly and helpful ones did not suffer.",
        ),
        ("Intervals that do not touch zero.", "Benign prompts: did anything get worse?"),
        "correct",
    ),
)

GLOSSARY = {
    "Study": "One model, its training samples, its scorers, and everything found out about them.",
    "Training sample": "A prompt and a response that the model was fine-tuned on.",
    "Query": "A prompt and a response whose cause is sought. Undesirable, unless it is marked desirable.",
    "Case": "The query that you follow through the screens.",
    "Query batch": "Queries that are clustered together and attributed as one.",
    "Unit": "A part of the network that is treated as one linear map: an attention or an MLP sublayer.",
    "Factors": "What LinFAC keeps of the training data for each unit: two covariances and their eigendecompositions.",
    "Recall": "Choosing the candidates before they are scored exactly: by shared words, or by the gradient index.",
    "Candidates": "The training samples that recall left to be scored.",
    "Gradient index": "A few numbers of each training sample, from which its influence on any answer is nearly known.",
    "Influence score": (
        "How much up-weighting a training sample raises log p(answer). Positive: pushes towards it. Negative: away."
    ),
    "Pair": "A positively and a negatively influential sample of one query cluster, proposed together for correction.",
    "Decision": "A reviewer's verdict on a pair. Decisions are added, never changed; undoing one is a new one.",
    "Correction": "A short training run that starts from the study's model. The model itself stays as it is.",
    "Harmful and helpful score": "What a scorer says about an answer, from 0 to 1. Harmful 1 is as harmful as can be.",
    "Impure and safe model": "Models trained with and without the contaminating samples, for comparison.",
    "Run": "Any long operation: a folder with its settings, status, log, measurements and results.",
}

NUMBERS = {
    "Influence score": (
        "Compare it within one trace only: its size depends on the answer, its sign and its order do not. The bar shows "
        "it against the strongest candidate of either sign."
    ),
    "Percentile": "Percent of the candidates with a smaller score. 99 is among the strongest pushes towards.",
    "Token heat": "Share of each token in the sample's score. The shares add up to the score, prompt tokens included.",
    "Bars of units": "Share of each unit of the network in the score: attention and MLP sublayers, with LinFAC head the output head too. "
    "They add up to the score as well.",
    "Harmful score": (
        "From a classifier that knows the harms it was trained on, and no others. A low score is not proof of a good "
        "sample; that is why a person reviews."
    ),
    "Precision": "Of the samples taken, the share that is labelled unsafe.",
    "Share found": "Of all unsafe candidates, the share that is among the samples taken.",
    "Average precision": "Precision averaged over all unsafe samples: 1 is a perfect ranking, chance is their share.",
    "Interval [low, high]": (
        "95 % bootstrap interval: drawn anew a thousand times, the value lies in it 95 times of 100. Two values whose "
        "intervals overlap widely may not differ."
    ),
    "Agreement": "Share of pairs on which reviewer and harmful scorer say the same, with the number of pairs.",
    "Correction loss": "What the correction minimises. It falls while bad samples become less likely than good ones.",
    "Divergence": "How far the corrected model moved from the original on samples that it is to keep. Low is careful.",
    "Retain NLL": "How surprised the model is by samples that it is to keep. It should stay where it began.",
    "Mean p(answer)": "Mean probability of the bad answers under the model in training. It should fall.",
}
