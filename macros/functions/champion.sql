{# Who answers, looked up once a query. Pure Jinja, so that Python renders the same text
   (training/treehouse/monitor/measure.py). #}

{# The model file that answers; 0 where none is promoted. One query sees one: the engine evaluates
   equal scalar subqueries once a query, and views, subqueries, shards and the blocks of an insert
   share the value. Without `materialize` the lookup would be folded at each place where it stands,
   at its own moment, before the subqueries are compared. So the text is the same wherever a model
   is asked for. #}
{% macro champion_bundle(registry, model, contract) -%}
(select dictGet('{{ registry }}.champions', 'bundle', materialize(('{{ model }}', '{{ contract }}'))))
{%- endmacro %}

{# Its version, of the same reading; 0 where none is promoted. #}
{% macro champion_version(what) -%}
assumeNotNull((
    select any(version) from {{ what.registry }}.versions
    where model = '{{ what.model }}'
        and bundle = {{ champion_bundle(what.registry, what.model, what.contract) }}
))
{%- endmacro %}
