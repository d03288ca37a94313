"""Islands: kinematic trees that constraint rows couple, each solved by itself.

Trees without a common row do not know of one another, so the constraint problem falls apart. The
solvers work in island order: the degrees of freedom of one island after the other (`map_idof2dof`), and
likewise the rows (`map_iefc2efc`). Names are those of MuJoCo's mj_island, but a tree without rows is an
island of its own here. Places read from tables pass `max(..., 0)`: only then
does the compiler know that they do not count from an array's end, and turns loops into vector instructions.

Within an island a row of M + J' C J begins with its tree, or with the first tree that a constraint
couples it with (`qH_first`), so that robots in a line, each touching the next, cost the sum. In a heap
this needs trees that touch to be near one another in the order, which is that of a breadth-first search
from a tree at the heap's edge (Cuthill and McKee, 1969, "Reducing the bandwidth of sparse symmetric matrices").
"""

from ..kernels.jit import kernel, sequence
from ..model.data import Data
from ..model.model import Model


@kernel
def find_islands(m: Model, d: Data) -> None:
    """Fill nisland, island_*, tree_island, map_*, efc_idofadr, qH_first from the spans of the rows."""
    if m.ntree == 1:
        _one_island(m, d)
        return
    single = _join_trees(m, d)
    _number_islands(m, d)
    if single and d.nisland[0] < m.ntree - 1:
        _order_trees(m, d)
    _place_trees(m, d)
    _place_rows(m, d)
    _envelope(m, d)


@kernel
def _one_island(m: Model, d: Data) -> None:
    d.nisland[0], d.tree_island[0] = 1, 0
    d.island_idofadr[0], d.island_nv[0], d.island_iefcadr[0], d.island_nefc[0] = 0, m.nv, 0, d.nefc[0]
    for v in range(m.nv):
        d.map_dof2idof[v], d.map_idof2dof[v], d.qH_first[v] = v, v, 0
    for r in range(d.nefc[0]):
        d.map_iefc2efc[r] = r
        d.efc_idofadr[r, 0], d.efc_idofadr[r, 1] = d.efc_dofadr[r, 0], d.efc_dofadr[r, 1]


@kernel
def _first_tree(m: Model, d: Data, r: int, part: int) -> int:
    """The first tree of a span of row `r`."""
    return m.dof_treeid[d.efc_dofadr[r, part]]


@kernel
def _last_tree(m: Model, d: Data, r: int, part: int) -> int:
    """The last tree of a span of row `r`."""
    return m.dof_treeid[d.efc_dofadr[r, part] + d.efc_dofnum[r, part] - 1]


@kernel
def _root(d: Data, t: int) -> int:
    """The first tree of those joined so far with tree `t`."""
    while d.tree_island[t] != t:
        t = d.tree_island[t]
    return t


@kernel
def _join(d: Data, t: int, u: int) -> None:
    t, u = _root(d, t), _root(d, u)
    d.tree_island[max(t, u)] = min(t, u)


@kernel
def _join_trees(m: Model, d: Data) -> bool:
    """tree_island of a tree = one before it in the same island, or itself. Whether each span is of one tree."""
    single = True
    for t in range(m.ntree):
        d.tree_island[t] = t
    for r in range(d.nefc[0]):
        first = _first_tree(m, d, r, 0)
        for t in range(first + 1, _last_tree(m, d, r, 0) + 1):
            _join(d, first, t)
            single = False
        if d.efc_dofnum[r, 1] > 0:
            second = _first_tree(m, d, r, 1)
            for t in range(second, _last_tree(m, d, r, 1) + 1):
                _join(d, first, t)
                single = single and t == second
    return single


@kernel
def _number_islands(m: Model, d: Data) -> None:
    """Number the islands by their first trees; the trees of one after the other, ascending, in tree_order."""
    d.nisland[0] = 0
    for t in range(m.ntree):
        before = d.tree_island[t]
        if before == t:
            d.tree_island[t] = d.nisland[0]
            d.island_ntree[d.nisland[0]] = 0
            d.nisland[0] += 1
        else:
            d.tree_island[t] = d.tree_island[before]
        d.island_ntree[d.tree_island[t]] += 1
    place = 0
    for k in range(d.nisland[0]):
        d.island_treeadr[k] = place
        place += d.island_ntree[k]
        d.island_ntree[k] = 0
    for t in range(m.ntree):
        k = d.tree_island[t]
        d.tree_order[d.island_treeadr[k] + d.island_ntree[k]] = t
        d.island_ntree[k] += 1


@kernel
def _order_trees(m: Model, d: Data) -> None:
    """Bring trees that rows couple near one another in tree_order."""
    for t in range(m.ntree):
        d.tree_link[t], d.tree_seen[t] = -1, 0
    for r in range(d.nefc[0] - 1, -1, -1):
        if d.efc_dofnum[r, 1] == 0:
            continue
        if r > 0 and d.efc_type[r - 1] == d.efc_type[r] and d.efc_id[r - 1] == d.efc_id[r]:
            continue  # another row of this constraint will do
        for part in range(2):
            t = _first_tree(m, d, r, part)
            d.row_link[r, part], d.tree_link[t] = d.tree_link[t], 2 * r + part
    for k in range(d.nisland[0]):
        begin, number = d.island_treeadr[k], d.island_ntree[k]
        if number > 2:
            for search in range(1, 3):
                _search_trees(m, d, begin, d.tree_order[begin if search == 1 else begin + number - 1], search)


@kernel
def _search_trees(m: Model, d: Data, begin: int, start: int, search: int) -> None:
    """Breadth first from tree `start`: fill tree_order from `begin` on by its island."""
    d.tree_order[begin], d.tree_seen[start] = start, search
    at, end = begin, begin + 1
    while at < end:
        link = d.tree_link[d.tree_order[at]]
        while link >= 0:
            t = _first_tree(m, d, link // 2, 1 - link % 2)
            if d.tree_seen[t] != search:
                d.tree_order[end], d.tree_seen[t] = t, search
                end += 1
            link = d.row_link[link // 2, link % 2]
        at += 1


@kernel
def _place_trees(m: Model, d: Data) -> None:
    """Give every degree of freedom its place."""
    place, at = 0, 0
    for k in range(d.nisland[0]):
        d.island_idofadr[k] = place
        for _ in range(d.island_ntree[k]):
            t, begin = d.tree_order[at], place
            at += 1
            for i in range(m.tree_dofnum[t]):
                d.map_dof2idof[m.tree_dofadr[t] + i] = place
                d.map_idof2dof[place] = m.tree_dofadr[t] + i
                d.qH_first[place] = begin
                place += 1
        d.island_nv[k] = place - d.island_idofadr[k]


@kernel
def _place_rows(m: Model, d: Data) -> None:
    """Give every row its place."""
    for k in range(d.nisland[0]):
        d.island_nefc[k] = 0
    for r in range(d.nefc[0]):
        d.island_nefc[_island(m, d, r)] += 1
        d.efc_idofadr[r, 0] = d.map_dof2idof[d.efc_dofadr[r, 0]]
        d.efc_idofadr[r, 1] = d.map_dof2idof[d.efc_dofadr[r, 1]]
    place = 0
    for k in range(d.nisland[0]):
        d.island_iefcadr[k] = place
        place += d.island_nefc[k]
        d.island_nefc[k] = 0
    for r in range(d.nefc[0]):
        k = _island(m, d, r)
        d.map_iefc2efc[d.island_iefcadr[k] + d.island_nefc[k]] = r
        d.island_nefc[k] += 1


@kernel
def _island(m: Model, d: Data, r: int) -> int:
    return d.tree_island[m.dof_treeid[d.efc_dofadr[r, 0]]]


@kernel
def _envelope(m: Model, d: Data) -> None:
    """Lower qH_first from the tree's own first column to what rows couple it with, and to what fills in.

    The matrix is factored from its last row to its first, so that the rows before one that begins
    early begin as early.
    """
    if d.nisland[0] == m.ntree:
        return
    for r in range(d.nefc[0]):
        begin, last = d.efc_idofadr[r, 0], d.efc_idofadr[r, 0] + d.efc_dofnum[r, 0] - 1
        if d.efc_dofnum[r, 1] > 0:
            begin = min(begin, d.efc_idofadr[r, 1])
            last = max(last, d.efc_idofadr[r, 1] + d.efc_dofnum[r, 1] - 1)
        d.qH_first[last] = min(d.qH_first[last], begin)
    for i in range(m.nv - 2, -1, -1):
        d.qH_first[i] = min(d.qH_first[i], d.qH_first[i + 1])


@sequence
def dofs_of(d: Data, k: int) -> tuple[int, int]:
    """Where island `k` begins and ends in island order."""
    begin = max(d.island_idofadr[k], 0)
    return begin, begin + max(d.island_nv[k], 0)


@sequence
def rows_of(d: Data, k: int) -> tuple[int, int]:
    """Where the rows of island `k` begin and end in island order."""
    begin = max(d.island_iefcadr[k], 0)
    return begin, begin + max(d.island_nefc[k], 0)


@sequence
def dof_at(d: Data, i: int) -> int:
    """The degree of freedom at place `i` of the island order."""
    return max(d.map_idof2dof[i], 0)


@sequence
def row_at(d: Data, i: int) -> int:
    """The row at place `i` of the island order."""
    return max(d.map_iefc2efc[i], 0)


@kernel
def enter_islands(m: Model, d: Data) -> None:
    """Put what the solvers need in island order; without rows the smooth acceleration is the solution."""
    find_islands(m, d)
    for i in range(m.nv):
        v = dof_at(d, i)
        d.iacc_smooth[i] = d.qacc_smooth[v]
        d.ifrc_smooth[i] = d.qfrc_smooth[v]
        d.iacc_warmstart[i] = d.qacc_warmstart[v]
        d.iacc[i] = d.qacc_smooth[v]
        d.ifrc_constraint[i] = 0.0


@kernel
def leave_islands(m: Model, d: Data) -> None:
    """Fill qacc, qfrc_constraint."""
    for i in range(m.nv):
        v = dof_at(d, i)
        d.qacc[v] = d.iacc[i]
        d.qfrc_constraint[v] = d.ifrc_constraint[i]
