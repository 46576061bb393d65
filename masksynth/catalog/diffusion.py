"""Masking, noise and scales: leave-one-out, block diffusion, text with noised images, next-scale prediction."""

from __future__ import annotations

from collections.abc import Collection

from masksynth.catalog.task_parts import block_rows, build_instance, closed_task, predict_hidden, token_nodes
from masksynth.tasks import Instance, Node, Prediction, Task
from masksynth.tasks.parameters import check_at_least, check_integers, check_size, require


def bd3lm(n: int = 8, l: int = 2, masked: tuple[int, ...] = ()) -> Instance:  # noqa: E741 - the paper's name
    """Block diffusion: one task per block b with a masked position: clean c[0..bl-1], and x[block b].

    The input of x[i] is M where masked, else the token.
    c[i] sees c of blocks <= block(i); x sees all c and x; masked x[i] predicts t[i].

    Parameters
    ----------
    n : int
        Tokens of the text.
    l : int
        Block length, a divisor of n.
    masked : tuple of int
        Masked positions; empty: the first of every block.

    Notes
    -----
    Published mask on [x | c]: same block and same half; or x row, c key, earlier block; or both c, key block <= row
    block. Count: clean blocks before the last masked one, and the masked blocks; 2n - l if every block has a masked
    position. Source: Arriola et al., arXiv 2503.09573.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(bd3lm(n=4, l=2, masked=(1, 2))).mask)
    ■ ■ · · · ·
    ■ ■ · · · ·
    · · ■ ■ · ·
    · · ■ ■ · ·
    · · ■ ■ ■ ■
    · · ■ ■ ■ ■
    """
    hit = _masked_positions(n, l, masked, views=1)
    blocks = sorted({i // l for i in hit})
    tasks = [_noised(b, l, hit, f"block {b}") for b in blocks]
    return build_instance("bd3lm", [n, l], tasks, (blocks[-1] + len(blocks)) * l, "BD3-LM, arXiv 2503.09573")


def complementary_bd(n: int = 8, l: int = 2, masked: tuple[int, ...] = ()) -> Instance:  # noqa: E741 - the paper's name
    """Complementary block diffusion: as ``bd3lm``, one task per block and view; view 1 masks what view 0 does not.

    Parameters
    ----------
    n : int
        Tokens of the text.
    l : int
        Block length, a divisor of n.
    masked : tuple of int
        Positions masked in view 0; empty: the first of every block.

    Notes
    -----
    Published mask: that of ``bd3lm`` with two noised copies, which do not see one another. Count: n - l clean
    positions, and l for every view of a block that masks something: 3n - l if every block is mixed. Source:
    complementary masks over arXiv 2503.09573.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(complementary_bd(n=4, l=2)).mask)
    ■ ■ · · · · · · · ·
    ■ ■ · · · · · · · ·
    · · ■ ■ · · · · · ·
    · · ■ ■ · · · · · ·
    · · · · ■ ■ · · · ·
    · · · · ■ ■ · · · ·
    · · · · ■ ■ ■ ■ · ·
    · · · · ■ ■ ■ ■ · ·
    · · · · ■ ■ · · ■ ■
    · · · · ■ ■ · · ■ ■
    """
    hit = _masked_positions(n, l, masked, views=2)
    views = (hit, frozenset(range(n)) - hit)
    pairs = [(b, v) for b in range(n // l) for v in (0, 1) if not views[v].isdisjoint(range(b * l, b * l + l))]
    tasks = [_noised(b, l, views[v], f"block {b} view {v}") for b, v in pairs]
    return build_instance(
        "complementary_bd",
        [n, l],
        tasks,
        n - l + l * len(pairs),
        "complementary masks for block diffusion, arXiv 2503.09573",
    )


def _masked_positions(n: int, length: int, masked: tuple[int, ...], views: int) -> frozenset[int]:
    check_at_least(1, n=n, l=length)
    require(n % length == 0, "l", length, f"does not divide n={n}", "give a divisor of n")
    blocks = n // length
    check_size(views * length * blocks * (blocks + 1) // 2, n=n, l=length)
    chosen = check_integers("masked", masked) or tuple(range(0, n, length))
    require(
        len(set(chosen)) == len(chosen) and max(chosen) < n,
        "masked",
        chosen,
        f"is not different positions below n={n}",
        "list each once",
    )
    return frozenset(chosen)


def _noised(b: int, length: int, masked: Collection[int], name: str) -> Task:
    clean = [Node(f"c{i}", f"w{i}", i) for i in range(b * length)]
    block = range(b * length, b * length + length)
    noised = [Node(f"x{i}", "M", i, carries=()) if i in masked else Node(f"x{i}", f"w{i}", i) for i in block]
    blocks = [clean[i : i + length] for i in range(0, len(clean), length)]
    return closed_task(
        name,
        (*clean, *noised),
        block_rows([*blocks, noised]),
        [predict_hidden(f"x{i}", f"w{i}") for i in block if i in masked],
    )


def transfusion(segments: tuple[int, ...] = (3, 2, 2)) -> Instance:
    """Transfusion: one task, texts and noised images in turn; a node sees what comes before and its own image.

    Text predicts the next token where that is text; patch i, input ["noised", w[i]] and kind "image", predicts its
    noise eps[i].

    Parameters
    ----------
    segments : tuple of int
        Lengths of text, image, text, ... (beginning with text, which may be empty; images may not).

    Notes
    -----
    Published mask: k <= q or both in one image. Count: all but a last text token, which predicts nothing: N - 1 if the
    sequence ends with text, else N. Source: Zhou et al., arXiv 2408.11039.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(transfusion(segments=(2, 2, 2))).mask)
    ■ · · · ·
    ■ ■ · · ·
    ■ ■ ■ ■ ·
    ■ ■ ■ ■ ·
    ■ ■ ■ ■ ■
    """
    segments = check_integers("segments", segments)
    for index in range(1, len(segments), 2):
        check_at_least(1, **{f"segments[{index}]": segments[index]})
    check_size(sum(segments), segments=segments)
    blocks: list[tuple[Node, ...]] = []
    predict: list[Prediction] = []
    first = 0
    for number, length in enumerate(segments):
        span = range(first, first + length)
        if number % 2:
            blocks.append(tuple(Node(f"x{i}", ("noised", f"w{i}"), i, "image") for i in span))
            predict += [predict_hidden(f"x{i}", f"eps{i}") for i in span]
        else:
            blocks += [(node,) for node in token_nodes(first, first + length)]
            predict += [predict_hidden(f"w{i}", f"w{i + 1}") for i in span[:-1]]
        first += length
    nodes = [node for block in blocks for node in block]
    task = closed_task("document", nodes, block_rows(blocks), predict)
    ends_with_text = bool(nodes) and nodes[-1].kind == "token"
    return build_instance("transfusion", [segments], [task], first - ends_with_text, "Transfusion, arXiv 2408.11039")


def var_scales(patch_nums: tuple[int, ...] = (1, 2, 3)) -> Instance:
    """Next-scale prediction: task s has the tokens of scales <= s.

    A token sees the scales up to its own and predicts its code.

    The tokens of scale s embed the picture of the scales before it (its start token for the first), so they do not
    carry their codes.

    Parameters
    ----------
    patch_nums : tuple of int
        Sides of the scales; scale s has patch_nums[s]^2 tokens.

    Notes
    -----
    Published mask: scale(k) <= scale(q). Count: the rows of a token agree in all tasks: the sum of patch_nums[s]^2.
    Source: Tian et al., arXiv 2404.02905.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(var_scales(patch_nums=(1, 2))).mask)
    ■ · · · ·
    ■ ■ ■ ■ ■
    ■ ■ ■ ■ ■
    ■ ■ ■ ■ ■
    ■ ■ ■ ■ ■
    """
    sides = check_integers("patch_nums", patch_nums, 1)
    sizes = [side * side for side in sides]
    check_size(sum(size * (len(sizes) - scale) for scale, size in enumerate(sizes)), patch_nums=sides)
    blocks: list[list[Node]] = []
    for scale, size in enumerate(sizes):
        first = sum(sizes[:scale])
        below = (f"scale{scale - 1}",) if scale else ()
        blocks.append([Node(f"w{i}", f"w{i}", i, carries=below) for i in range(first, first + size)])
    tasks = (
        closed_task(
            f"scale {scale}",
            [node for lower in blocks[: scale + 1] for node in lower],
            block_rows(blocks[: scale + 1]),
            [Prediction(node.name, f"c{node.position}", hides=(f"scale{scale}",)) for node in block],
        )
        for scale, block in enumerate(blocks)
    )
    return build_instance("var_scales", [sides], tasks, sum(sizes), "VAR, arXiv 2404.02905")


def loo_mlm(n: int = 4) -> Instance:
    """Leave-one-out masked language modelling: task j has the text with M at j, all see all, and w[j] predicts t[j].

    Parameters
    ----------
    n : int
        Tokens of the text, n >= 1.

    Notes
    -----
    Published mask: all nodes of one task. Count: n^2, nothing merges, since every row holds the M of its task.
    Source: Salazar et al., arXiv 1910.14659.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(loo_mlm(n=2)).mask)
    ■ ■ · ·
    ■ ■ · ·
    · · ■ ■
    · · ■ ■
    """
    check_at_least(1, n=n)
    check_size(n * n, n=n)
    nodes = token_nodes(0, n)
    rows = block_rows([nodes])
    tasks = (
        closed_task(
            f"predict w{j}",
            (*nodes[:j], Node(f"w{j}", "M", j, carries=()), *nodes[j + 1 :]),
            rows,
            [predict_hidden(f"w{j}", f"w{j}")],
        )
        for j in range(n)
    )
    return build_instance("loo_mlm", [n], tasks, n * n, "leave-one-out masked language modelling, arXiv 1910.14659")
