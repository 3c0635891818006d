/*
 * engine/toy/toy.h - an engine without a model: sleeps, echoes and fails on request.
 *
 * The first engine to read, the one that core and sched are tested with, and a load target.
 *
 * A model is a text file whose first line is "berth-toy 1" and whose other lines are
 * `name = value`: weights_bytes, workspace_bytes, load_ms, load_fail (an error name, or n times:
 * "ENOMEM:2"), unload_ms. A request is TEXT (or a FILE of text) like "toy:sleep=20,turns=3" or any
 * text, which is echoed. Options: turns (default 1), host_turns (0), turn_us (0: how long each turn
 * sleeps), bytes (session bytes drawn and reserved), emit (partial items a turn), fail (error name),
 * fail_at (turn), key (batch key), rows. Unknown ones are errors.
 */
#ifndef BTH_TOY_H
#define BTH_TOY_H

#include <berth/engine.h>

extern const struct berth_engine_ops bth_toy_engine;

#endif
