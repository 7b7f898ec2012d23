{# drift(): how far each feature of a use case, and its prediction, is from what the version saw
   when it was trained. One row a column, one pass over the rows; see models/monitoring/.

   {{ drift('ltv') }}                                      the champion, on the newest window
   {{ drift('ltv', version=3) }}                           another version's statistics
   {{ drift('ltv', relation=ref('ltv_features'), where="country = 'DE'") }}   rows of your choice

   Sources: population stability index and its expectation without a change, (B - 1)(1/n + 1/m):
   Yurdakul, Statistical Properties of Population Stability Index (2018). Chi-square of homogeneity
   of two samples, and its tail: Abramowitz and Stegun, 26.4.4-5. Kolmogorov-Smirnov: Stephens, Use
   of the Kolmogorov-Smirnov statistics without extensive tables (1970). Tails of rare events:
   Hoeffding, Probability inequalities for sums of bounded random variables (1963), theorems 1
   and 4: exp(-n KL(k/n, K/N)), which also holds for draws without replacement. New categories:
   Good, The population frequencies of species (1953). #}

{% macro drift(use_case, relation=none, version=none, where=none) -%}
    {%- if not execute -%} {{- return('select 1') -}} {%- endif -%}
    {%- set what = monitored(use_case) -%}
    {{- return(drift_query(what, relation or monitored_window(what), version, where)) -}}
{%- endmacro %}

{# Pure Jinja from here on: training/treehouse/monitor/measure.py renders the same text.
   `what` is a dict: model, features [{name, kind}], head, contract (hash), registry, and what
   macros/statistics/monitoring.sql takes. Sequences have no statistics: they are only passed to the model. #}

{% macro drift_query(what, relation, version=none, where=none) -%}
{%- set arguments = what.features | map(attribute='name') | join('`, `') -%}
{%- set features = [] -%}
{%- for feature in what.features -%}
    {%- do features.append({
        'name': feature.name,
        'kind': 'numeric' if feature.kind in ('numeric', 'series') else 'categorical',
        'column': '`' ~ feature.name ~ '`' ~ ('[-1]' if feature.kind in ('tokens', 'series') else ''),
    }) -%}
{%- endfor -%}
{%- set names = features | map(attribute='name') | list -%}
with /* treehouse monitor */ reference as (

    select
        *,
        concat(role, '/', name) as key,
        arrayFilter(x -> isFinite(x), quantiles) as points,
        rows - nulls as reference_n
    from {{ what.registry }}.statistics
    where
        model = '{{ what.model }}'
        and version = {{ version if version is not none else champion_version(what) }}
        and (
            (role = 'feature' and name in ({% for name in names %}{{ _text(name) }}{{ ', ' if not loop.last }}{% endfor %}))
            or (role = 'prediction' and name = {{ _text(what.head) }})
        )
    order by created_at desc
    limit 1 by key

),

-- Where the cells of each column begin: its bins' edges, and each percentile as a cell of its own,
-- so that a value that many rows share is told from what lies beside it.
(
    select mapFromArrays(groupArray(key), groupArray(arraySort(arrayDistinct(arrayConcat(
        [-inf], edges, arrayFlatten(arrayMap(x -> [x + 0., {{ _next_double('x + 0.') }}], points))
    )))))
    from reference
) as bounds,

(
    select mapFromArrays(groupArray(key), groupArray(arrayConcat([''], categories)))
    from reference
) as vocabularies,

monitored as (

    select
        {%- for feature in features %}
        {% if feature.kind == 'numeric' -%}
        ifNull(toFloat64({{ feature.column }}), nan)
        {%- else -%}
        ifNull(toString({{ feature.column }}), '')
        {%- endif %} as treehouse_{{ loop.index }},
        {%- endfor %}
        ifNull(toFloat64(predict_{{ what.model }}(`{{ arguments }}`)), nan) as treehouse_answer
    from {{ relation }}
    {%- if where %}
    where {{ where }}
    {%- endif %}

),

counted as (

    select
        number_of_column,
        cell,
        count() as cell_rows,
        sum(number) as cell_sum
    from (
        select
            [
                {%- for feature in features %}
                {{ _cell(feature.kind, 'treehouse_' ~ loop.index, 'feature/' ~ feature.name) }},
                {%- endfor %}
                {{ _cell('numeric', 'treehouse_answer', 'prediction/' ~ what.head) }}
            ] as cells,
            [
                {%- for feature in features %}
                {{ 'treehouse_' ~ loop.index if feature.kind == 'numeric' else 'nan' }},
                {%- endfor %}
                treehouse_answer
            ] as numbers
        from monitored
    )
    array join
        range(1, toUInt16({{ names | length + 2 }})) as number_of_column,
        cells as cell,
        numbers as number
    group by number_of_column, cell

),

observed as (

    select
        [
            {%- for name in names %}{{ _text('feature/' ~ name) }}, {% endfor -%}
            {{ _text('prediction/' ~ what.head) }}
        ][number_of_column] as observed_key,
        sum(cell_rows) as observed_rows,
        sumIf(cell_rows, isNaN(cell)) as observed_missing,
        sumIf(cell_sum, not isNaN(cell)) / (observed_rows - observed_missing) as mean_or_nan,
        if(isFinite(mean_or_nan), mean_or_nan, null) as observed_mean,
        groupArrayIf((cell, cell_rows), not isNaN(cell)) as observed_cells
    from counted
    group by number_of_column

),

-- Each stage names what the next one reads: a name that is read within its own stage is written
-- out there again, and the engine's analysis would take longer than the query.
paired as (

    select
        reference.*,
        observed.*,
        toFloat64(observed_rows - observed_missing) as n,
        toFloat64(reference_n) as m,
        arrayMap(share -> round(share * reference_n), shares) as reference_counts,
        arrayMap(
            bin -> toFloat64(arraySum(arrayMap(
                cell -> if(bin = if(
                    kind = 'categorical',
                    if(cell.1 = 0, length(shares), cell.1),
                    1 + arrayCount(edge -> edge <= cell.1, edges)
                ), cell.2, 0),
                observed_cells
            ))),
            arrayEnumerate(shares)
        ) as counts,
        arrayDistinct(points) as marks
    from reference
    left join observed on reference.key = observed.observed_key

),

-- A category that the training had rarely has fewer rows in truth than it happened to have there:
-- the rare ones, and what is not stored, are one bin.
positioned as (

    select
        *,
        n > 0 and m > 0 as has_both,
        least(n, m) / (n + m) as smaller_share,
        n * m / (n + m) as effective_n,
        arrayZip(counts, reference_counts) as pairs,
        arrayFilter(
            (pair, i) -> kind = 'numeric' or (pair.2 >= 30 and i < length(shares)),
            pairs, arrayEnumerate(shares)
        ) as frequent,
        arrayMap(x -> indexOf(points, x) - 1, marks) as first_percent,
        arrayMap(x -> indexOf(points, x) + countEqual(points, x) - 2, marks) as last_percent,
        arrayMap(x -> arraySum(c -> if(c.1 < x, c.2, 0), observed_cells), marks) as rows_below,
        arrayMap(x -> arraySum(c -> if(c.1 <= x, c.2, 0), observed_cells), marks) as rows_up_to
    from paired

),

binned as (

    select
        *,
        kind = 'numeric' and length(points) = 101 and has_both as has_percentiles,
        arrayFilter(pair -> pair.1 + pair.2 > 0, arrayPushBack(frequent, if(
            kind = 'numeric', (0., 0.),
            (n - arraySum(pair -> pair.1, frequent), m - arraySum(pair -> pair.2, frequent))
        ))) as bins,
        arrayMap(x -> x / n, rows_below) as below,
        arrayMap(x -> x / n, rows_up_to) as up_to
    from positioned

),

-- For the test, bins that expect fewer than 5 rows are one (Cochran's rule), or left out.
pooled as (

    select
        *,
        length(bins) as bin_count,
        arrayFilter(pair -> (pair.1 + pair.2) * smaller_share >= 5, bins) as large_bins,
        arrayFilter(pair -> (pair.1 + pair.2) * smaller_share < 5, bins) as small_bins,
        -- A percentile bounds the training's distribution function from both sides; the distance
        -- is what lies beyond the bounds.
        arrayMax(arrayMap((b, u, i, j) -> greatest(
            b - i / 100, j / 100 - u,
            if(j < 100, u - (j + 1) / 100, 0), if(i > 0, (i - 1) / 100 - b, 0)
        ), below, up_to, first_percent, last_percent)) as largest_gap,
        -- By trapezoids between percentiles. Beyond the 1st and the 99th the form is unknown: there
        -- the difference of the means, which the distance never falls below, has to do.
        arraySum(k -> if(
            last_percent[k] < 1 or first_percent[k + 1] > 99, 0, (marks[k + 1] - marks[k])
            * abs((up_to[k] + below[k + 1]) / 2 - (last_percent[k] + first_percent[k + 1]) / 200)
        ), range(1, length(marks))) as distance
    from binned

),

smoothed as (

    select
        *,
        has_both and bin_count > 0 as has_bins,
        (bin_count - 1) * (1 / n + 1 / m) as psi_noise,
        arrayMap(pair -> (
            (pair.1 + 0.5) / (n + 0.5 * bin_count), (pair.2 + 0.5) / (m + 0.5 * bin_count)
        ), bins) as densities,
        arrayFilter(pair -> (pair.1 + pair.2) * smaller_share >= 5, arrayPushBack(large_bins, (
            arraySum(pair -> pair.1, small_bins), arraySum(pair -> pair.2, small_bins)
        ))) as tested,
        if(has_percentiles, greatest(0, largest_gap - 1 / m), 0) as ks
    from pooled

),

compared as (

    select
        *,
        arraySum(s -> (s.1 - s.2) * log(s.1 / s.2), densities) as psi,
        arraySum(
            s -> s.1 * log2(2 * s.1 / (s.1 + s.2)) + s.2 * log2(2 * s.2 / (s.1 + s.2)), densities
        ) / 2 as jensen_shannon,
        toUInt32(greatest(length(tested), 1) - 1) as degrees,
        sqrt(arraySum(pair -> pair.2, tested) / arraySum(pair -> pair.1, tested)) as balance,
        (sqrt(effective_n) + 0.12 + 0.11 / sqrt(effective_n)) * ks as ks_scaled,
        -- New categories are to be expected: as many as the training had only once (Good-Turing).
        if(kind = 'categorical', toFloat64(countEqual(reference_counts, 1)), 0.) as expected_new,
        if(kind = 'categorical', reference_counts[-1], 0.) as not_stored,
        if(kind = 'categorical', counts[-1], 0.) as unseen
    from smoothed

),

tested_columns as (

    select
        *,
        arraySum(pair -> pow(balance * pair.1 - pair.2 / balance, 2) / (pair.1 + pair.2), tested)
            as chi_square,
        if(ks_scaled < 0.3, 1, least(1, greatest(0, 2 * arraySum(
            j -> if(j % 2 = 1, 1, -1) * exp(-2 * j * j * ks_scaled * ks_scaled), range(1, 101)
        )))) as p_kolmogorov_smirnov,
        {{ rare_tail(
            'observed_missing', 'observed_rows', 'observed_missing + nulls',
            'observed_rows + compared.rows'
        ) }} as p_missing,
        if(unseen / n > expected_new / m, {{ rare_tail(
            'unseen', 'n', 'unseen + expected_new', 'n + m'
        ) }}, 1) as p_unseen
    from compared

),

measured as (

    select
        *,
        {{ chi_square_tail('chi_square', 'degrees') }} as p_chi_square,
        3 * count() over () as tests
    from tested_columns

)

select
    toString(measured.role) as role,
    toString(measured.name) as name,
    toString(measured.kind) as kind,
    toUInt32(measured.version) as version,
    toUInt64(observed_rows) as rows,
    toUInt64(measured.rows) as reference_rows,
    if(observed_rows = 0, null, observed_missing / observed_rows) as missing_share,
    if(measured.rows = 0, 0, nulls / measured.rows) as reference_missing_share,
    if(measured.kind = 'categorical' and n > 0, unseen / n, null) as unseen_share,
    if(measured.kind = 'categorical' and m > 0, greatest(expected_new, not_stored) / m, null)
        as reference_unseen_share,
    observed_mean as mean,
    measured.mean as reference_mean,
    (observed_mean - measured.mean) / nullIf(deviation, 0) as mean_shift,
    if(has_bins, measured.psi, null) as psi,
    if(has_bins, measured.psi_noise, null) as psi_noise,
    if(has_bins, measured.jensen_shannon, null) as jensen_shannon,
    if(has_percentiles, ks, null) as kolmogorov_smirnov,
    if(has_percentiles, greatest(abs(observed_mean - measured.mean), distance), null)
    / nullIf(deviation, 0) as wasserstein,
    if(has_bins, measured.chi_square, null) as chi_square,
    measured.degrees as degrees,
    if(has_bins, least(1, tests * least(p_chi_square, p_kolmogorov_smirnov)), null)
        as p_distribution,
    if(observed_rows = 0, null, least(1, tests * 2 * measured.p_missing)) as p_missing,
    if(measured.kind = 'categorical' and has_both and not_stored = 0,
        least(1, tests * measured.p_unseen), null) as p_unseen,
    if(measured.role = 'prediction', 1, measured.importance) as importance,
    if(has_bins, greatest(measured.psi - measured.psi_noise, 0), null) * importance as impact
from measured
{%- endmacro %}

{# A string as a SQL literal. #}
{% macro _text(value) -%}
'{{ value | replace('\\', '\\\\') | replace("'", "\\'") }}'
{%- endmacro %}

{# The cell of a value: where it begins, or the number of its category; NaN where it is missing. #}
{% macro _cell(kind, column, key) -%}
{%- if kind == 'numeric' -%}
if(isNaN({{ column }}), nan, roundDown({{ column }}, if(empty(bounds[{{ _text(key) }}]), [-inf], bounds[{{ _text(key) }}])))
{%- else -%}
transform({{ column }}, if(empty(vocabularies[{{ _text(key) }}]), [''], vocabularies[{{ _text(key) }}]), arrayMap(i -> if(i = 1, nan, i - 1.), arrayEnumerate(if(empty(vocabularies[{{ _text(key) }}]), [''], vocabularies[{{ _text(key) }}]))), 0.)
{%- endif -%}
{%- endmacro %}

{# The next larger double: doubles of one sign are ordered as their bits. #}
{% macro _next_double(x) -%}
reinterpretAsFloat64(reinterpretAsInt64({{ x }}) + if({{ x }} < 0, -1, 1))
{%- endmacro %}

{# P(chi-square of so many degrees of freedom >= x): a finite sum, exact for whole degrees. #}
{% macro chi_square_tail(x, degrees) -%}
if({{ degrees }} = 0, 1, least(1, if({{ degrees }} % 2 = 1, erfc(sqrt({{ x }} / 2)), 0) + arraySum(
            j -> exp(
                (j + {{ degrees }} % 2 / 2) * log(greatest({{ x }}, 1e-300) / 2) - {{ x }} / 2
                - lgamma(j + {{ degrees }} % 2 / 2 + 1)
            ),
            range(toUInt32(intDiv({{ degrees }}, 2)))
        )))
{%- endmacro %}

{# At most the chance that, of `total` marked among `all` rows, `drawn` drawn ones hold as many as
   `found` of them, or as few. #}
{% macro rare_tail(found, drawn, total, all) -%}
least({{ binomial_tail(found, drawn, '(' ~ total ~ ') / (' ~ all ~ ')') }}, {{ binomial_tail(found, total, '(' ~ drawn ~ ') / (' ~ all ~ ')') }})
{%- endmacro %}

{# At most the chance that so many draws, each a hit with the chance `share`, hit as often as
   `found`, or as rarely. #}
{% macro binomial_tail(found, draws, share) -%}
if({{ draws }} = 0, 1, exp(-({{ draws }}) * arraySum(
        (a, p) -> if(a <= 0, 0, a * log(a / p)) + if(a >= 1, 0, (1 - a) * log((1 - a) / (1 - p))),
        [{{ found }} / ({{ draws }})], [{{ share }}]
    )))
{%- endmacro %}
