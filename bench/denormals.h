// Whether numbers that fade away slow a step down.
#pragma once

namespace sinter::bench {

// Adam trains a net of 16-64-64-10 on random rows and then goes on for 2,000 steps with inputs of
// zero, a batch whose first layer is dead: its moments shrink by a tenth a step, through all
// denormal numbers, to nothing. Prints the least time of a step for each 200 of them; returns the
// largest of these by the least.
double print_denormals(int threads);

}  // namespace sinter::bench
