/*
 * engine/toy/toy.h - an engine without a model: sleeps, echoes and fails on request.
 *
 * The first engine to read, the one that core and sched are tested with, and a load target.
 *
 * A model is a text file whose first line is "berth-toy 1" and whose others are `name = value`:
 * weights_bytes, workspace_bytes, load_ms, unload_ms, load_fail (an error name without its prefix, as
 * EFORMAT). A request is TEXT, which is echoed. Options: turns (1), host_turns (0), turn_us (0: how long
 * each turn sleeps), bytes (of the session), emit (partial items a turn, at most 2), fail (an error
 * name), fail_at (after so many turns), key (only equal keys share turns), rows. Unknown ones are errors.
 */
#ifndef BTH_TOY_H
#define BTH_TOY_H

#include <berth/engine.h>

extern const struct berth_engine_ops bth_toy_engine;

#endif
