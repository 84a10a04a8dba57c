"""Checks ONNX files by the format's own library: rules of the format, and shapes inferred strictly.

    check_onnx.py FILE...       /usr/bin/python3, which sees Debian's python3-onnx

One verdict a file.
"""

import sys

import onnx


def check(path):
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    declared = {o.name: o.type for o in model.graph.output}
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    for output in inferred.graph.output:
        if output.type != declared[output.name]:
            raise ValueError(f"{output.name} is declared with another shape than follows")
    if model.opset_import[0].version > 14:
        raise ValueError(f"operator set {model.opset_import[0].version}, expected 14 at most")


for path in sys.argv[1:]:
    name = f"onnx.checker takes {'/'.join(path.split('/')[-3:])}"
    try:
        check(path)
        print(f"ok {name}")
    except Exception as error:  # whatever the library raises is the verdict
        print(f"not ok {name}: {str(error).splitlines()[0]}")
