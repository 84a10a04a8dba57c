#!/usr/bin/env python3
"""Writes tests/golden/class_loss_golden.h and rates_golden.h: losses and gradients of classifiers, from PyTorch.

Means of cross_entropy (weights, label smoothing), binary_cross_entropy_with_logits (pos_weight) and
mse_loss, and focal losses written with PyTorch's operators; gradients by autograd, in double.  Then AdamW
of PyTorch with parameter groups of different rates, one of which is frozen at first.  Run in this folder
with an interpreter that sees PyTorch (python3-torch).
"""
import torch
import torch.nn.functional as F

torch.manual_seed(8)
N, K = 6, 4
x = (3 * torch.randn(N, K)).float().double().requires_grad_()
gold = torch.tensor([0, 3, 1, 1, 2, 0])
many = (torch.rand(N, K) < 0.4).double()
value = torch.randn(N).float().double()
w = torch.tensor([0.5, 2.0, 1.25, 3.0], dtype=torch.float64)
out = ["/* Made by make_class_loss_golden.py. */"]


def array(name, values):
    flat = [repr(float(v)) for v in torch.as_tensor(values).detach().flatten()]
    out.append(f"static const double {name}[] = {{{', '.join(flat)}}};")


def case(name, loss):
    (grad,) = torch.autograd.grad(loss, x)
    array(name + "_loss", loss)
    array(name + "_dx", grad)


def focal(gamma, weight):
    nll = F.cross_entropy(x, gold, reduction="none")
    loss = weight[gold] * (1 - torch.exp(-nll)) ** gamma * nll
    return loss.sum() / weight[gold].sum()


def focal_many(gamma):
    bce = F.binary_cross_entropy_with_logits(x, many, reduction="none")
    return ((1 - torch.exp(-bce)) ** gamma * bce).mean()


out.append(f"enum {{ GOLD_N = {N}, GOLD_K = {K} }};")
array("gold_x", x)
array("gold_class", gold)
array("gold_many", many)
array("gold_value", value)
array("gold_weight", w)
case("plain", F.cross_entropy(x, gold))
case("weighted", F.cross_entropy(x, gold, weight=w))
case("smoothed", F.cross_entropy(x, gold, label_smoothing=0.1))
case("both", F.cross_entropy(x, gold, weight=w, label_smoothing=0.1))
case("focal", focal(2.0, torch.ones(K).double()))
case("focal_weighted", focal(0.5, w))
case("several", F.binary_cross_entropy_with_logits(x, many))
case("several_weighted", F.binary_cross_entropy_with_logits(x, many, pos_weight=w))
case("several_focal", focal_many(2.0))
case("score", F.mse_loss(x[:, 0], value))

with open("class_loss_golden.h", "w") as file:
    file.write("\n".join(out) + "\n")
del out[1:]

# Three parameters of 8: the usual rate; twice of it; half of it, and frozen before step 3.
STEPS, P = 8, 8
RATE, DECAY = 0.01, 0.1
start = torch.randn(3, P).float().double()
grads = torch.randn(STEPS, 3, P).float().double()
params = [torch.nn.Parameter(row.clone()) for row in start]
groups = [{"params": [p], "lr": RATE * f} for p, f in zip(params, (1.0, 2.0, 0.5))]
adam = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY, eps=1e-8)
for step in range(STEPS):
    for i, p in enumerate(params):
        p.grad = None if i == 2 and step < 3 else grads[step][i].clone()
    adam.step()
out.append(f"enum {{ RATES_STEPS = {STEPS}, RATES_FLOATS = {P}, RATES_FROM = 3 }};")
array("rates_start", start)
array("rates_grads", grads)
array("rates_end", torch.stack([p.detach() for p in params]))

with open("rates_golden.h", "w") as file:
    file.write("\n".join(out) + "\n")
