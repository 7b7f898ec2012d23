{# What must be there before the first model: tables that hold state, and the SQL functions. #}

{% macro create_state() %}
    {% if execute %}
        {% set raw = var('raw_database') %}
        {% set registry = var('registry_database') %}
        {% set owned = [] %}
        {% for source in graph.sources.values() if source.schema == raw %}
            {% do owned.append(source_table(source)) %}
        {% endfor %}
        {% do run_statements(source_ddl(raw, owned)) %}
        {% do run_statements(load_state_ddl(raw)) %}
        {% set engine = var('state_engine') %}
        {% set cluster = adapter.get_clickhouse_cluster_name() or '' %}
        {% for ddl in (registry_ddl, experiments_ddl) %}
            {% do run_statements(ddl(registry, dictionary_credentials(), engine, cluster)) %}
        {% endfor %}
        {% for ddl in (runs_ddl, trials_ddl, monitoring_ddl, tiering_ddl) %}
            {% do run_statements(ddl(registry, engine, cluster)) %}
        {% endfor %}
        {% do run_statements(result_store_ddl(
            var('result_cache').database, var('cache_admission_horizon_seconds'), dictionary_credentials()
        )) %}
    {% endif %}
{% endmacro %}

{# What source_ddl() takes, from a source of dbt's graph. #}
{% macro source_table(source) %}
    {% set columns = [] %}
    {% for column in source.columns.values() %}
        {% do columns.append({
            'name': column.name, 'type': column.data_type, 'comment': column.description,
        }) %}
    {% endfor %}
    {% set meta = source.config.meta or source.meta %}
    {{ return({
        'name': source.identifier, 'columns': columns,
        'order_by': meta.order_by, 'time': meta.time, 'grows': source.source_name == 'engine',
    }) }}
{% endmacro %}

{# A dictionary's own user, where the server asks for a password; `target` does not show it. #}
{% macro dictionary_credentials() %}
    {% set credentials = adapter.config.credentials %}
    {% if credentials.password %}
        {{ return("user '" ~ escape_literal(credentials.user) ~ "' password '"
            ~ escape_literal(credentials.password) ~ "'") }}
    {% endif %}
    {{ return('') }}
{% endmacro %}

{% macro escape_literal(value) %}
    {{ return(value | replace('\\', '\\\\') | replace("'", "\\'")) }}
{% endmacro %}

{% macro run_statements(script) %}
    {% for statement in script.split(';\n') if statement.strip() %}
        {% do run_query(statement.strip()) %}
    {% endfor %}
{% endmacro %}
