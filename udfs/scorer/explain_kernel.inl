// One tree's contributions, vectorised over rows by the compiler; included by one file per
// instruction set, inside an unnamed namespace.

template <int Q, std::size_t W>
struct Products {
    alignas(64) double at[Q][W];
};

// Rates of one edge: how the products and the contributions change where a row passes and where
// it does not, at each point of the quadrature.
struct Edge {
    std::uint32_t feature;
    double share;         // of training rows, all edges of this feature on the path together
    double before;        // the share above this edge; 0 for the first of its feature
    double own;           // share of this edge alone
    const double* passed_before;
    const double* passed;
};

template <int Q, std::size_t W>
inline void extend(const ExplainJob& job, const Edge& edge, const Products<Q, W>& from,
                   Products<Q, W>& to) {
    for (int q = 0; q < Q; ++q) {
        const double t = job.nodes[q], s = 1 - t;
        if (edge.before == 0) {
            for (std::size_t r = 0; r < W; ++r)
                to.at[q][r] = from.at[q][r] * (s * edge.share + t * edge.passed[r]);
            continue;
        }
        // (s z' + t o') / (s z + t o), without a division for each row
        const double inverse = 1 / (s * edge.before + t);
        const double failed = s * edge.share * inverse - edge.own, passed = t * inverse;
        for (std::size_t r = 0; r < W; ++r)
            to.at[q][r] = from.at[q][r] * (edge.own + edge.passed_before[r] *
                                                          (failed + edge.passed[r] * passed));
    }
}

// (o - z) / (s z + t o) of this edge, less that of the edge above with the same feature: of all
// edges of a feature only the last one counts.
template <int Q, std::size_t W>
inline void contribute(const ExplainJob& job, const Edge& edge, const Products<Q, W>& below) {
    alignas(64) double sum[W] = {};
    for (int q = 0; q < Q; ++q) {
        const double t = job.nodes[q], s = 1 - t;
        const double failed = -1 / s;
        const double rise = (1 - edge.share) / (s * edge.share + t) - failed;
        if (edge.before == 0) {
            for (std::size_t r = 0; r < W; ++r)
                sum[r] += below.at[q][r] * (failed + rise * edge.passed[r]);
            continue;
        }
        const double rise_before = (1 - edge.before) / (s * edge.before + t) - failed;
        for (std::size_t r = 0; r < W; ++r)
            sum[r] += below.at[q][r] *
                      (rise * edge.passed[r] - rise_before * edge.passed_before[r]);
    }
    double* to = job.contributions + std::size_t{edge.feature} * W;
    for (std::size_t r = 0; r < W; ++r) to[r] += sum[r];
}

template <std::size_t W>
inline void pass_left(const Forest& forest, const Node& node, const double* x, double* passes) {
    if ((node.test & kCategorical) != 0) {
        for (std::size_t r = 0; r < W; ++r)
            passes[r] = goes_left(forest, node, x[r]) ? 1.0 : 0.0;
        return;
    }
    const double missing = (node.test & kDefaultLeft) != 0 ? 1.0 : 0.0;
    for (std::size_t r = 0; r < W; ++r)
        passes[r] = x[r] <= node.value ? 1.0 : (x[r] != x[r] ? missing : 0.0);
}

template <int Q, std::size_t W>
void descend_explained(const ExplainJob& job, std::uint32_t at, const Products<Q, W>& product,
                       Products<Q, W>& below);

template <int Q, std::size_t W>
void follow(const ExplainJob& job, const Node& node, std::uint32_t child, double own,
            const double* passes, const Products<Q, W>& product, Products<Q, W>& below) {
    const std::uint32_t feature = node.test & kFeatureMask;
    double* passed = job.passed + std::size_t{feature} * W;
    alignas(64) double kept[W], merged[W];
    const double before = job.share[feature];
    for (std::size_t r = 0; r < W; ++r) {
        kept[r] = before == 0 ? 1.0 : passed[r];
        merged[r] = kept[r] * passes[r];
        passed[r] = merged[r];
    }
    const double share = before == 0 ? own : before * own;
    job.share[feature] = share;
    const Edge edge{feature, share, before, own, kept, merged};
    Products<Q, W> extended, found;
    extend<Q, W>(job, edge, product, extended);
    descend_explained<Q, W>(job, child, extended, found);
    contribute<Q, W>(job, edge, found);
    for (int q = 0; q < Q; ++q)
        for (std::size_t r = 0; r < W; ++r) below.at[q][r] += found.at[q][r];
    for (std::size_t r = 0; r < W; ++r) passed[r] = kept[r];
    job.share[feature] = before;
}

template <int Q, std::size_t W>
void descend_explained(const ExplainJob& job, std::uint32_t at, const Products<Q, W>& product,
                       Products<Q, W>& below) {
    const Forest& forest = *job.forest;
    const Node& node = forest.nodes[at];
    if ((node.test & kLeaf) != 0) {
        const double value = leaf_value(forest, node, job.output);
        for (int q = 0; q < Q; ++q)
            for (std::size_t r = 0; r < W; ++r) below.at[q][r] = value * product.at[q][r];
        return;
    }
    below = Products<Q, W>{};
    alignas(64) double left[W], right[W];
    pass_left<W>(forest, node, job.x + std::size_t{node.test & kFeatureMask} * W, left);
    for (std::size_t r = 0; r < W; ++r) right[r] = 1 - left[r];
    const double share = left_share(forest, at);
    follow<Q, W>(job, node, node.left, share, left, product, below);
    follow<Q, W>(job, node, node.left + 1, 1 - share, right, product, below);
}

template <int Q, std::size_t W>
void explain_with(const ExplainJob& job) {
    Products<Q, W> start, below;
    for (int q = 0; q < Q; ++q)
        for (std::size_t r = 0; r < W; ++r) start.at[q][r] = job.weights[q];
    descend_explained<Q, W>(job, static_cast<std::uint32_t>(job.forest->roots[job.tree]), start,
                         below);
}

template <std::size_t W>
inline void explain_rows(const ExplainJob& job) {
    switch (job.points) {
        case 1: return explain_with<1, W>(job);
        case 2: return explain_with<2, W>(job);
        case 3: return explain_with<3, W>(job);
        case 4: return explain_with<4, W>(job);
        case 6: return explain_with<6, W>(job);
        case 8: return explain_with<8, W>(job);
        case 16: return explain_with<16, W>(job);
        default: return explain_with<32, W>(job);
    }
}

inline void explain_tree(const ExplainJob& job) {
    if (job.wide == 1) return explain_rows<1>(job);
    explain_rows<kExplainRows>(job);
}
