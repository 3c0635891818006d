"""The programmes and options that the original is asked about.

Options carry the names of the `whisper` command and of Berth, as strings. Unlike that command, beam
search is off. Everything that has another default somewhere is said: best_of, temperature,
temperature_increment_on_fallback.
"""

LADDER = {"temperature": "0", "temperature_increment_on_fallback": "0.2", "best_of": "1"}
GREEDY = {"temperature": "0", "temperature_increment_on_fallback": "None"}
ENGLISH = {"language": "en"}
NEVER_GOOD = {"logprob_threshold": "-0.001", "no_speech_threshold": "1"}  # the whole ladder runs

PROMPT = "A reading from Sense and Sensibility, by Jane Austen; Mr. John Dashwood."
LONG_PROMPT = " ".join(["The family of Dashwood had long been settled in Sussex."] * 30)
WIDE_PROMPT = "Élinor – «Dashwood» — 日本語の朗読 🙂 naïve"


def case(name, audio, *options, long=False, **more):
    merged = {}
    for o in options:
        merged.update(o)
    merged.update(more)
    return {"name": name, "audio": audio, "options": merged, "long": long}


CASES = [
    # As it comes: language detected, the ladder ready.
    *(case(f"auto_{a}", a, LADDER, long=a == "p190")
      for a in ("p001", "p005", "p008", "p015", "p028", "p095", "p190", "cut", "short", "empty")),
    # One temperature.
    case("greedy_silence", "silence", GREEDY),
    case("greedy_noise", "noise", GREEDY),
    case("greedy_noise_en", "noise", GREEDY, ENGLISH, long=True),
    case("greedy_empty_en", "empty", GREEDY, ENGLISH),
    case("greedy_p095_en", "p095", GREEDY, ENGLISH, long=True),
    case("greedy_p190_en", "p190", GREEDY, ENGLISH),
    # Other languages than the one spoken: text of many bytes a character.
    case("german_p015", "p015", GREEDY, language="de"),
    case("japanese_p008", "p008", GREEDY, language="ja"),
    case("hindi_p005", "p005", GREEDY, language="hi"),
    case("translate_p028_de", "p028", LADDER, language="de", task="translate"),
    case("translate_p095", "p095", LADDER, task="translate", long=True),
    # Prompts.
    case("prompt_p028", "p028", LADDER, ENGLISH, initial_prompt=PROMPT),
    case("prompt_p095", "p095", LADDER, ENGLISH, initial_prompt=PROMPT, long=True),
    case("prompt_long_p008", "p008", LADDER, ENGLISH, initial_prompt=LONG_PROMPT),
    case("prompt_wide_p015", "p015", LADDER, ENGLISH, initial_prompt=WIDE_PROMPT),
    case("fresh_p190", "p190", LADDER, ENGLISH, condition_on_previous_text="False", long=True),
    case("fresh_p095", "p095", LADDER, ENGLISH, condition_on_previous_text="False"),
    # Thresholds: attempts rejected, windows skipped, the prompt forgotten after a hot attempt.
    case("ladder_p005", "p005", LADDER, ENGLISH, NEVER_GOOD),
    case("ladder_p015_best5", "p015", LADDER, ENGLISH, NEVER_GOOD, best_of="5"),
    case("ladder_p028_seed", "p028", LADDER, ENGLISH, NEVER_GOOD, best_of="2",
         seed="1099511627783", long=True),
    case("ladder_p008_steep", "p008", LADDER, ENGLISH, NEVER_GOOD,
         temperature_increment_on_fallback="0.5", seed="7"),
    case("ladder_p095_some", "p095", LADDER, ENGLISH, logprob_threshold="-0.25", best_of="3",
         long=True),
    case("ladder_p190_ratio", "p190", LADDER, ENGLISH, compression_ratio_threshold="1.55",
         long=True),
    case("ladder_p028_ratio", "p028", LADDER, ENGLISH, compression_ratio_threshold="1.5",
         best_of="2"),
    case("skip_p095", "p095", LADDER, ENGLISH, no_speech_threshold="0.025",
         logprob_threshold="-0.19"),
    case("skip_silence", "silence", GREEDY, ENGLISH, no_speech_threshold="0.01"),
    case("warm_p008", "p008", ENGLISH, temperature="0.4", best_of="5",
         temperature_increment_on_fallback="None"),
    case("hot_p008", "p008", ENGLISH, temperature="1", best_of="1",
         temperature_increment_on_fallback="None", seed="3"),
    case("hot_p015_best5", "p015", ENGLISH, temperature="0.8", best_of="5",
         temperature_increment_on_fallback="None", seed="18446744073709551615"),
    # The rarer options.
    case("clips_p028", "p028", LADDER, ENGLISH, clip_timestamps="1.5,9,14.2,27"),
    case("clips_overlap_p015", "p015", LADDER, ENGLISH, clip_timestamps="4,9.5,2.25"),
    case("carry_p095", "p095", LADDER, ENGLISH, initial_prompt=PROMPT,
         carry_initial_prompt="True", long=True),
    case("plain_p015", "p015", LADDER, ENGLISH, without_timestamps="True"),
    case("unsuppressed_p008", "p008", LADDER, ENGLISH, suppress_tokens=""),
    case("suppressed_p008", "p008", LADDER, ENGLISH, suppress_tokens="-1,2221,11,13"),
    case("late_p015", "p015", LADDER, ENGLISH, max_initial_timestamp="None"),
    case("cut_short_p028", "p028", LADDER, ENGLISH, sample_len="40"),
]
