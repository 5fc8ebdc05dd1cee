package org.chartseal.testbed;

import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.r4b.JpaR4BConfig;
import ca.uhn.fhir.jpa.config.r5.JpaR5Config;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.jpa.topic.SubscriptionTopicConfig;
import ca.uhn.fhir.rest.server.HardcodedServerAddressStrategy;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import java.net.InetSocketAddress;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * Starts the HAPI FHIR JPA server, as its authors publish it, on loopback: the second EHR of the tests, written by others.
 *
 * <p>Arguments: the FHIR release (r4, r4b, r5), the port (0: any), the folder that holds its database. Prints
 * {@code listening <port>} once it answers. Everything a clinical behaviour could depend on is HAPI's own; this file only
 * gives it a database, a socket and its settings.
 */
public final class SecondEhr {
    private SecondEhr() {}

    public static void main(String[] arguments) throws Exception {
        Class<?> release = release(arguments[0]);
        Server http = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[1])));
        Settings.folder = arguments[2];

        AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
        context.register(
                release,
                HapiJpaConfig.class,
                Settings.class,
                JpaBatch2Config.class,
                Batch2JobsConfig.class,
                SubscriptionSubmitterConfig.class,
                SubscriptionProcessorConfig.class,
                SubscriptionChannelConfig.class,
                SubscriptionTopicConfig.class);
        context.refresh();

        RestfulServer fhir = restfulServer(context);
        ServletContextHandler servlets = new ServletContextHandler("/");
        servlets.addServlet(new ServletHolder(fhir), "/fhir/*");
        http.setHandler(servlets);
        http.start();
        System.out.println("listening " + http.getURI().getPort());
        http.join();
    }

    private static Class<?> release(String name) {
        return switch (name) {
            case "r4" -> JpaR4Config.class;
            case "r4b" -> JpaR4BConfig.class;
            case "r5" -> JpaR5Config.class;
            default -> throw new IllegalArgumentException("r4, r4b or r5, not " + name);
        };
    }

    private static RestfulServer restfulServer(AnnotationConfigApplicationContext context) {
        RestfulServer fhir = new RestfulServer(context.getBean(FhirContext.class));
        fhir.registerProviders(context.getBean(ResourceProviderFactory.class).createProviders());
        fhir.registerProvider(context.getBean(IJpaSystemProvider.class));
        fhir.setPagingProvider(context.getBean(DatabaseBackedPagingProvider.class));
        fhir.setServerConformanceProvider(new JpaCapabilityStatementProvider(
                fhir,
                context.getBean(IFhirSystemDao.class),
                context.getBean(JpaStorageSettings.class),
                context.getBean(ISearchParamRegistry.class),
                context.getBean(IValidationSupport.class)));
        return fhir;
    }
}
