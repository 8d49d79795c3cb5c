#!/usr/bin/env python3
"""h5_reader.py FILE.h5... reads checkpoints with h5py, by the reader that doc/checkpoint.md shows: are types, checksums and
attributes what the document says? Last line 'N passed, M failed'; exits 1 if any failed."""
import pathlib, re, sys, zlib
import h5py, numpy

document = pathlib.Path(__file__).parent.parent / 'doc' / 'checkpoint.md'
exec(re.search(r'```python\n(.*?)```', document.read_text(), re.S).group(1))  # defines tensor()

STORED = {'fp32': '<f4', 'fp16': '<f2', 'bf16': '<u2', 'int32': '<i4', 'uint8': '|u1'}
passed = failed = 0


def check(holds, what):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print('FAILED', what)


def check_dataset(file, path, x):
    kind = x.attrs['dtype'].decode()
    check(x.dtype.str == STORED[kind], f'{path}: {kind} is stored as {x.dtype.str}')
    check(zlib.crc32(x[()].tobytes()) == x.attrs['crc32'], f'{path}: checksum')
    check(x.chunks is None and x.id.get_offset() is not None, f'{path}: contiguous')
    numbers = tensor(file, path)
    check(numbers.shape == x.shape and numpy.isfinite(numbers).all(), f'{path}: finite numbers')
    if kind in ('fp32', 'fp16', 'bf16'):
        check(0 < abs(numbers).max() < 1e4, f'{path}: numbers of a weight')


def check_file(name):
    with h5py.File(name, 'r') as file:
        root = {key: file.attrs[key] for key in file.attrs}
        check(root == {'format': b'olica-checkpoint', 'schema': 1, 'complete': 1}, f'{name}: root attributes')
        paths = []
        file.visit(paths.append)
        for path in paths:
            if isinstance(file[path], h5py.Dataset):
                check_dataset(file, path, file[path])
        check(len(paths) > 10, f'{name}: datasets')


for name in sys.argv[1:]:
    check_file(name)
print(f'{passed} passed, {failed} failed')
sys.exit(failed > 0)
