// SPDX-License-Identifier: Apache-2.0
// Backend "fake:SCRIPT": a worker that behaves as a JSON file says, faults included, so that the whole path from sweep to
// process is tested without a model. The file:
//   {"protocol": 99, "candidates": {NAME: [STEP, …]  or  NAME: [[STEP, …], [STEP, …]] (one list per attempt), …}}
// Steps, done in order:
//   {"phase": P, "fraction": F}     progress
//   {"sleep_ms": N}                 cancel ends it, unless …
//   {"ignore_cancel": true}         … cancel and SIGTERM are not heard any more
//   {"metrics": {…}}                what the result will say (keys of trial_to_json); without one the trial has no result
//   {"error": CODE, "what": TEXT}   fails properly
//   {"crash": "SIGSEGV"}            dies of a signal
//   {"exit": N}                     leaves without a word
//   {"hang": true}                  no heartbeat, no end
//   {"allocate_mb": N}              allocates under an RLIMIT_AS of N MB above what is used, until there is no more
//   {"garbage": TEXT}               writes TEXT on the channel as it is;  {"flood_mb": N} a line of N MB
//   {"stderr": TEXT}                says something
//   {"append": PATH, "text": T}     appends to a file: which trials ran
//   {"wait_file": PATH}             waits until the file is there
#pragma once
