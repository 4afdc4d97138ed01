// Package rehearse holds the rehearsal of a deployment: the template as it is
// synthesized, deployed on an emulator of AWS, and driven end to end through its
// own routes, mappings, schedule, environment and roles by the functions' real
// source, built for this machine. make rehearse installs the emulator, whose
// version and hashes are in requirements.txt, and runs the drills.
//
// The drills are tests behind the tag rehearse, so that nobody else waits for
// them. What the emulator cannot do, or does otherwise than AWS, is mended in the
// template before it is deployed, in shims_test.go, each with a sentence; the
// drills print the list, so that nobody takes what was left out for tried.
package rehearse
