#pragma once

#include <cstdint>

#include <sinter/functions.h>
#include <sinter/value.h>

namespace sinter {

// Activations besides relu, sigmoid, tanh, softplus, silu, gelu and softmax of functions.h. All are
// elementwise on floats, but for glu, and compositions of other functions: differentiated, fused
// and compiled as your own are. Names and defaults are those of torch.nn.functional; at a kink the
// derivative is that of the side that the formula names with <= or >=.

/// x where x > 0, else slope x. Source: Maas, Hannun, Ng 2013.
Value leaky_relu(const Operand& x, double slope = 0.01);
/// x where x > 0, else slope x with a slope that is trained: [1], or one for each element of axis 1
/// of x. Source: He, Zhang, Ren, Sun 2015.
Value prelu(const Operand& x, const Operand& slope);
/// x where x > 0, else alpha (e^x - 1). Source: Clevert, Unterthiner, Hochreiter 2016.
Value elu(const Operand& x, double alpha = 1);
/// 1.0507 elu(x, 1.6733), constants to double precision. Source: Klambauer et al. 2017.
Value selu(const Operand& x);
/// x where x > 0, else alpha (e^(x / alpha) - 1). Source: Barron 2017.
Value celu(const Operand& x, double alpha = 1);
/// x Phi(x) with the normal distribution Phi: exactly, 0.5 x (1 + erf(x / sqrt(2))), or as gelu(x)
/// approximates it with tanh. PyTorch's default is the exact one. Source: Hendrycks, Gimpel 2016.
enum class GeluForm : uint8_t { exact, tanh };
Value gelu(const Operand& x, GeluForm form);
/// a sigmoid(b) with the halves a and b of x along an axis, which has an even number of elements.
/// Source: Dauphin, Fan, Auli, Grangier 2017.
Value glu(const Operand& x, int64_t axis = -1);
/// x tanh(softplus(x)). Source: Misra 2019.
Value mish(const Operand& x);
/// x, but low where x <= low and high where x >= high.
Value hardtanh(const Operand& x, double low = -1, double high = 1);
/// hardtanh(x, 0, 6). Source: Krizhevsky 2010.
Value relu6(const Operand& x);
/// relu6(x + 3) / 6.
Value hardsigmoid(const Operand& x);
/// x relu6(x + 3) / 6. Source: Howard et al. 2019.
Value hardswish(const Operand& x);
/// x / (1 + abs(x)). Source: Bergstra, Desjardins, Lamblin, Bengio 2009.
Value softsign(const Operand& x);
/// x - tanh(x).
Value tanhshrink(const Operand& x);
/// x - lambda where x > lambda, x + lambda where x < -lambda, else 0.
Value softshrink(const Operand& x, double lambda = 0.5);
/// x where abs(x) > lambda, else 0.
Value hardshrink(const Operand& x, double lambda = 0.5);
/// log(1 + e^(beta x)) / beta.
Value softplus(const Operand& x, double beta);
/// log(sigmoid(x)), stable.
Value logsigmoid(const Operand& x);

}  // namespace sinter
