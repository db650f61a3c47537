#pragma once

#include <cstdint>

#include <sinter/nn.h>
#include <sinter/random.h>

/// Other initial weights than those that the layers start with, for parameters that a net has:
///
///     nn::init::kaiming_uniform(net.hidden.weight, nn::init::gain(nn::init::After::relu));
///
/// Weights are [out, in]: fan_in is `in`, fan_out is `out`, both times what further axes hold.
/// Random numbers come from the default generator or from the one given. A net that is training
/// goes on from the new weights.
namespace sinter::nn::init {

/// What stands after the layer.
enum class After : uint8_t { linear, sigmoid, tanh, relu, leaky_relu, selu };

/// By how much larger weights must be for values to keep their size through the activation, as
/// torch.nn.init.calculate_gain: 1, 1, 5/3, sqrt(2), sqrt(2 / (1 + slope^2)), 3/4. `slope` is that
/// of a leaky ReLU below 0.
double gain(After activation, double slope = 0.01);

/// Uniform on [low, high).
void uniform(Parameter parameter, double low, double high,
             Generator& generator = default_generator());
/// Normal with this mean and standard deviation.
void normal(Parameter parameter, double mean, double deviation,
            Generator& generator = default_generator());
void constant(Parameter parameter, double value);

/// Variance gain^2 2 / (fan_in + fan_out), uniform or normal. Error for fewer than two axes.
/// Source: Glorot, Bengio 2010.
void xavier_uniform(Parameter weight, double gain = 1, Generator& generator = default_generator());
void xavier_normal(Parameter weight, double gain = 1, Generator& generator = default_generator());
/// Variance gain^2 / fan_in, uniform or normal; by default with the gain of ReLU. Error for fewer
/// than two axes. Source: He, Zhang, Ren, Sun 2015.
void kaiming_uniform(Parameter weight, double gain = init::gain(After::relu),
                     Generator& generator = default_generator());
void kaiming_normal(Parameter weight, double gain = init::gain(After::relu),
                    Generator& generator = default_generator());

}  // namespace sinter::nn::init
