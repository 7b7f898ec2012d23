{# The statistics of experiments, as SQL over one row a unit. Pure Jinja: the tests render it too,
   and run a thousand experiments in one query.

   units: experiment, metric, kind (mean, rate or ratio), unit, variant, outcome, denominator (1 but
   for a ratio), and from before the exposure pre_outcome, pre_denominator.
   definitions: experiment, variants (the control first), weights, direction, alpha, power,
   minimum_lift, planned_units, method.
   alphas: ClickHouse's tests take the confidence level as a constant; one for each.

   One row for each experiment, metric, estimate and variant. A mean and its difference are
   - estimated twice: `unadjusted`, and `cuped` where something is known from before the exposure:
     the outcome less theta times the deviation of that from its mean; theta is the slope within
     variants (Deng, Xu, Kohavi and Walker 2013);
   - for a ratio over linearised outcomes, ratio + (outcome - ratio * denominator) / mean
     denominator, whose mean is the ratio and whose variance is the delta method's (Deng, Knoblich
     and Lu 2018);
   - tested by ClickHouse's welchTTest, mannWhitneyUTest and, for a rate, proportionsZTest;
     of the relative lift's interval, the error is the delta method's;
   - bounded at any time by an asymptotic confidence sequence, tightest at planned_units
     (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024); its
     p-value is the mixture sequential probability ratio's (Johari, Koomen, Pekelis and Walsh 2022);
   - with more than one treatment, p-values are Holm's (1979), and what is bounded at any time is
     bounded for all treatments together (Bonferroni). #}

{% macro experiment_statistics(units, definitions, alphas) %}
with assigned as (

    select
        units.experiment as experiment,
        units.metric as metric,
        units.kind as kind,
        units.variant as variant,
        toFloat64(units.outcome) as outcome,
        toFloat64(units.denominator) as denominator,
        toFloat64(units.pre_outcome) as pre_outcome,
        toFloat64(units.pre_denominator) as pre_denominator,
        units.outcomes_not_finite as outcomes_not_finite,
        definitions.variants[1] as control,
        definitions.alpha as alpha
    from {{ units }} as units
    inner join {{ definitions }} as definitions on units.experiment = definitions.experiment
    where has(definitions.variants, units.variant)

),

ratios as (

    select
        *,
        sum(outcome) over in_variant / sum(denominator) over in_variant as ratio,
        avg(denominator) over in_variant as mean_denominator,
        sum(pre_outcome) over in_all / nullIf(sum(pre_denominator) over in_all, 0) as pre_ratio
    from assigned
    window
        in_variant as (partition by experiment, metric, variant),
        in_all as (partition by experiment, metric)

),

linear as (

    select
        experiment,
        metric,
        kind,
        variant,
        control,
        alpha,
        outcomes_not_finite,
        if(kind = 'ratio', ratio + (outcome - ratio * denominator) / mean_denominator, outcome) as y,
        if(kind = 'ratio', pre_outcome - ifNull(pre_ratio, 0) * pre_denominator, pre_outcome) as x
    from ratios
    where isFinite(y) -- not a ratio of nothing

),

means as (

    select
        *,
        avg(y) over in_variant as mean_y,
        avg(x) over in_variant as mean_x,
        avg(x) over in_all as mean_x_of_all,
        max(y) over in_variant > min(y) over in_variant as varies
    from linear
    window
        in_variant as (partition by experiment, metric, variant),
        in_all as (partition by experiment, metric)

),

slopes as (

    select
        *,
        sum((x - mean_x) * (y - mean_y)) over in_all
        / nullIf(sum((x - mean_x) * (x - mean_x)) over in_all, 0) as theta,
        arraySort(groupUniqArray(variant) over in_all) as present,
        groupUniqArrayIf(variant, varies) over in_all as varying
    from means
    window in_all as (partition by experiment, metric)

),

estimates as (

    select
        * except (x, mean_x, mean_y, mean_x_of_all, varies),
        answer.1 as estimate,
        answer.2 as value
    from slopes
    array join if(
        theta is null,
        [('unadjusted', y)],
        [('unadjusted', y), ('cuped', y - assumeNotNull(theta) * (x - mean_x_of_all))]
    ) as answer

),

-- The control is compared with each treatment, so its rows go to all of them.
compared as (

    select
        experiment,
        metric,
        kind,
        estimate,
        compared_variant as variant,
        estimates.variant = control as is_of_control,
        compared_variant = control as is_control,
        -- ClickHouse's tests refuse an empty sample and two that are zero throughout.
        has(present, control) and hasAny(varying, [control, variant]) and not is_control
        as is_comparable,
        alpha,
        theta,
        outcomes_not_finite,
        value
    from estimates
    array join if(estimates.variant = control, present, [estimates.variant]) as compared_variant

),

samples as (

    select
        experiment,
        metric,
        estimate,
        variant,
        any(compared.kind) as kind,
        any(compared.theta) as theta,
        any(compared.is_comparable) as can_compare,
        countIf(is_of_control = is_control) as units,
        avgIf(value, is_of_control = is_control) as mean,
        varSampStableIf(value, is_of_control = is_control) as variance,
        sumIf(value, is_of_control = is_control) as total,
        sumIf(compared.outcomes_not_finite, is_of_control = is_control) as outcomes_not_finite,
        countIf(is_of_control) as control_units,
        avgIf(value, is_of_control) as control_mean,
        varSampStableIf(value, is_of_control) as control_variance,
        sumIf(value, is_of_control) as control_total,
        multiIf(
            {%- for alpha in alphas %}
            any(compared.alpha) = {{ alpha }},
            welchTTestIf({{ 1 - (alpha | float) }})(value, is_of_control, is_comparable and compared.alpha = {{ alpha }}),
            {%- endfor %}
            (nan, nan, nan, nan)
        ) as welch,
        mannWhitneyUTestOrNullIf('two-sided')(value, is_of_control, is_comparable) as mann_whitney
    from compared
    group by experiment, metric, estimate, variant

),

differences as (

    select
        samples.*,
        definitions.alpha as alpha,
        definitions.direction as direction,
        definitions.method as method,
        definitions.minimum_lift as minimum_lift,
        definitions.planned_units as planned_units,
        samples.variant = definitions.variants[1] as is_control,
        definitions.weights[indexOf(definitions.variants, samples.variant)] as weight,
        definitions.weights[1] as control_weight,
        length(definitions.variants) - 1 as treatments,
        if(is_control, null, mean - control_mean) as difference,
        sqrt(variance / units + control_variance / control_units) as raw_error,
        if(
            can_compare and units > 1 and control_units > 1 and raw_error > 0, raw_error, null
        ) as standard_error,
        nullIf(abs(control_mean), 0) as scale,
        difference / scale as lift,
        sqrt(variance / units + pow(mean / control_mean, 2) * control_variance / control_units)
        / scale as lift_error,
        (welch.4 - welch.3) / 2 / standard_error as critical,
        {{ finite('welch.2') }} as p_value,
        if(kind = 'rate' and estimate = 'unadjusted' and not is_control, proportionsZTest(
            toUInt64(total), toUInt64(control_total), units, control_units, 0.95, 'pooled'
        ).2, nan) as z_test,
        units + control_units as looked_at,
        -2 * log(alpha / treatments) as spent,
        (spent + log(spent + 1)) / definitions.planned_units * looked_at as mixture,
        standard_error * sqrt(
            (mixture + 1) / mixture * (log(mixture + 1) + spent)
        ) as always_valid_margin,
        if(standard_error is null, null, least(1, sqrt(mixture + 1) * exp(
            -pow(difference / standard_error, 2) * mixture / (mixture + 1) / 2
        ))) as always_valid_p,
        {{ normal_quantile('alpha / treatments') }}
        + {{ normal_quantile('2 * (1 - definitions.power)') }} as quantiles
    from samples
    inner join {{ definitions }} as definitions on samples.experiment = definitions.experiment

),

ranked as (

    select
        *,
        row_number() over (in_order order by p_value nulls last) as place,
        row_number() over (in_order order by always_valid_p nulls last) as always_valid_place
    from differences
    window in_order as (partition by experiment, metric, estimate)

),

corrected as (

    select
        *,
        {{ holm('p_value', 'place') }} as p_value_holm,
        {{ holm('always_valid_p', 'always_valid_place') }} as always_valid_p_holm,
        if(method = 'fixed', p_value_holm, always_valid_p_holm) as decisive_p,
        sum(units) over whole as all_units
    from ranked
    window whole as (partition by experiment, metric, estimate)

)

select
    experiment,
    metric,
    kind,
    estimate,
    variant,
    is_control,
    units,
    mean,
    sqrt(variance) as deviation,
    difference,
    if(is_control, null, {{ finite('welch.3') }}) as difference_low,
    if(is_control, null, {{ finite('welch.4') }}) as difference_high,
    if(is_control, null, lift) as lift,
    lift - critical * lift_error as lift_low,
    lift + critical * lift_error as lift_high,
    standard_error,
    if(is_control, null, p_value) as p_value,
    p_value_holm,
    if(is_control, null, mann_whitney.2) as mann_whitney_p_value,
    {{ finite('z_test') }} as proportions_z_p_value,
    always_valid_p as always_valid_p_value,
    always_valid_p_holm as always_valid_p_value_holm,
    difference - always_valid_margin as always_valid_low,
    difference + always_valid_margin as always_valid_high,
    lift - always_valid_margin / standard_error * lift_error as always_valid_lift_low,
    lift + always_valid_margin / standard_error * lift_error as always_valid_lift_high,
    if(is_control, null, quantiles * standard_error) as minimum_detectable_difference,
    if(is_control, null, quantiles * standard_error / scale) as minimum_detectable_lift,
    if(is_control, null, ceil(
        pow(quantiles / minimum_lift, 2)
        * (variance / weight + control_variance / control_weight) / pow(scale, 2)
    )) as required_units,
    if(estimate = 'cuped', theta, null) as cuped_theta,
    outcomes_not_finite,
    multiIf(
        is_control, 'control',
        units < 2 or control_units < 2, 'too few units',
        standard_error is null, 'no variance',
        method = 'fixed' and all_units < planned_units, 'waiting',
        ifNull(decisive_p > alpha, true), 'undecided',
        (difference > 0) = (direction = 'increase'), 'better',
        'worse'
    ) as verdict
from corrected
{% endmacro %}

{# Two-sided normal quantile of an alpha: of one half against one half, where each proportion has
   two trials, the engine's own interval is exactly as wide. #}
{% macro normal_quantile(alpha) -%}
(
            proportionsZTest(1, 1, 2, 2, 1 - {{ alpha }}, 'unpooled').4
            - proportionsZTest(1, 1, 2, 2, 1 - {{ alpha }}, 'unpooled').3
        )
{%- endmacro %}

{# Holm 1979: the k-th smallest of m p-values times m - k + 1, never below the one before. #}
{% macro holm(p_value, place) -%}
if({{ p_value }} is null or is_control, null, least(1, max({{ p_value }} * (treatments - {{ place }} + 1)) over (
            partition by experiment, metric, estimate order by {{ place }}
        )))
{%- endmacro %}

{% macro finite(value) -%}
    if(isFinite({{ value }}), {{ value }}, null)
{%- endmacro %}

{# P(X > statistic) of a chi-square with whole degrees of freedom: the finite sums of Abramowitz and
   Stegun 26.4.4 and 26.4.5. #}
{% macro chi_square_p_value(statistic, degrees) -%}
if({{ statistic }} = 0, 1, least(1,
        if({{ degrees }} % 2 = 1, erfc(sqrt({{ statistic }} / 2)), 0)
        + arraySum(term -> exp(
            (term + {{ degrees }} % 2 / 2) * log({{ statistic }} / 2) - {{ statistic }} / 2
            - lgamma(term + {{ degrees }} % 2 / 2 + 1)
        ), range(toUInt32(intDiv({{ degrees }}, 2))))
    ))
{%- endmacro %}
